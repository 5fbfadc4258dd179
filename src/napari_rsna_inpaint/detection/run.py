"""``detect``: a volume in, completions, heatmap and findings out."""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from napari_rsna_inpaint import STATEMENT, __version__
from napari_rsna_inpaint.brain import packed_brain_mask
from napari_rsna_inpaint.detection.assembly import Assembly
from napari_rsna_inpaint.detection.base import Detector, SliceScores
from napari_rsna_inpaint.detection.identity import input_identity
from napari_rsna_inpaint.detection.registry import make_detector
from napari_rsna_inpaint.detection.result import Detection, SliceResult
from napari_rsna_inpaint.detection.resume import SliceStore, clear
from napari_rsna_inpaint.detection.scan import SECTION_MM, Scan
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.volume import CTVolume

log = logging.getLogger(__name__)

OnProgress = Callable[[int, int, SliceResult | None], None]


def detect(
    volume: CTVolume,
    detector: str = "grid",
    *,
    protocol: str = "fast",
    parameters: Mapping[str, Any] | None = None,
    model: str | Path | None = None,
    device: str = "auto",
    backend: str = "torch",
    seed: int = 0,
    flag_rate: float = 0.1,
    batch_size: int | None = None,
    slices: Sequence[int] | None = None,
    store: Path | None = None,
    resume: bool = True,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Detection:
    """Find where a head CT departs from a healthy brain.

    Parameters
    ----------
    volume
        Series in HU; voxels that are not finite count as air.
    detector, protocol, model, device, backend
        Names; see ``detection.names``.
    parameters
        Of the detector, in place of those of the protocol, by (dotted) name; see
        ``detection.config.changed``.
    seed
        The result is a function of volume, settings and seed: on a CPU bit for bit,
        whatever the batch size and order, and whether or not it was resumed.
    flag_rate
        Part of healthy scans that may be called suspicious, 0 to 1: sets the threshold of
        the scan score in ``run["scan"]``.
    slices
        Indices along ``z`` of the slices to look at; all with brain by default.
    store, resume
        Folder in which finished slices are kept, so that a stopped run can go on; without
        ``resume`` those of earlier runs are removed first. A folder that cannot be written
        costs the possibility to go on, not the result.
    on_progress
        ``(done, total, partial)``: network evaluations, and a finished slice or None.
    cancelled
        Asked before every network call.

    Raises
    ------
    InputRefused
        If there is no brain in the volume, or the model or device is not to be had.
    Cancelled
        ``partial`` is the ``Detection`` of the slices that were finished.
    """
    volume = volume.finite()
    started = datetime.now(UTC)
    clock = time.monotonic()
    engine = make_detector(
        detector,
        protocol,
        parameters,
        model=model,
        device=device,
        backend=backend,
        batch_size=batch_size,
    )
    if store is not None and not resume:
        clear(store)
    mask = packed_brain_mask(volume, cancelled=cancelled)
    if not mask.outline().any():
        raise InputRefused("No brain was found in this series; is it an axial head CT?")
    assembly = Assembly(volume, mask, engine, flag_rate)
    settings = {
        **engine.provenance(),
        "protocol": protocol,
        "slices": None if slices is None else [int(z) for z in slices],
        "seed": seed,
    }
    remarks = settings.pop("remarks", [])
    provenance = _provenance(volume, started)
    provenance["notes"] += [*_scale(engine), *_thin_slices(volume, assembly.scan)]
    provenance["notes"] += [{"code": "detector", "message": remark} for remark in remarks]
    wanted = assembly.wanted(slices)
    shelf: SliceStore | None = None
    stored: dict[int, SliceScores] = {}
    if store is not None:
        shelf = SliceStore(store, _identity(volume, provenance, settings))
        stored = {z: scores for z in wanted if (scores := shelf.load(z)) is not None}
    todo = [z for z in wanted if z not in stored]
    evaluations = n_total = 0

    def on_step(done: int, total: int) -> None:
        nonlocal evaluations, n_total
        evaluations, n_total = done, total
        if on_progress is not None:
            on_progress(done, total, None)

    stop: Cancelled | None = None
    try:
        for scores in stored.values():
            for result in assembly.add(scores):
                if on_progress is not None:
                    on_progress(0, 0, result)
        for scores in engine.run(
            assembly.scan, indices=todo, seed=seed, on_step=on_step, cancelled=cancelled
        ):
            if shelf is not None:
                shelf = _keep(shelf, scores)
            for result in assembly.add(scores):
                if on_progress is not None:
                    on_progress(evaluations, n_total, result)
    except Cancelled as error:
        stop = error
    run = {
        **provenance,
        **settings,
        "denoiser_evaluations": evaluations,
        "seconds": round(time.monotonic() - clock, 3),
        "finished": stop is None,
    }
    detection = assembly.finish(run)
    if stop is not None:
        raise Cancelled("Cancelled; the finished slices are kept.", detection) from None
    return detection


def _scale(engine: Detector) -> list[dict[str, str]]:
    """Note, said in the log too, where scores come from the calibration of other settings."""
    calibration = engine.calibration
    if calibration is None:
        return []
    if calibration.protocol != engine.protocol:
        message = (
            f"The model is not calibrated for {engine.protocol!r}; the scale of "
            f"{calibration.protocol!r} is used."
        )
    elif engine.config != engine.presets[engine.protocol]:
        message = (
            f"Parameters differ from those of {engine.protocol!r}, for which the scores are "
            "calibrated; they may be too high or too low."
        )
    else:
        return []
    log.warning("%s", message)
    return [{"code": "other-calibration", "message": message}]


def _thin_slices(volume: CTVolume, scan: Scan) -> list[dict[str, str]]:
    """Note, said in the log too, where several slices are looked at as one."""
    first = scan.sections[0]
    count = first.stop - first.start
    if count == 1:
        return []
    message = (
        f"Slices {volume.spacing[0]:.2g} mm apart were averaged, {count} at a time, to be "
        "completed and judged; every slice shows what was found in their mean."
    )
    log.warning("%s", message)
    return [{"code": "thin-slices", "message": message}]


def _keep(shelf: SliceStore, scores: SliceScores) -> SliceStore | None:
    """Store a slice; None, after a warning, where the disk is full or read-only."""
    try:
        shelf.save(scores)
    except OSError as error:
        log.warning("Finished slices cannot be kept for --resume (%s).", error.strerror or error)
        return None
    return shelf


def _identity(
    volume: CTVolume, provenance: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, Any]:
    """What a slice depends on; the batch size and the other slices do not belong to it."""
    kept = {k: v for k, v in parameters.items() if k not in {"batch_size", "slices"}}
    geometry = hashlib.sha256(volume.affine.tobytes() + volume.positions.tobytes()).hexdigest()
    pixels = provenance["input"]["pixel_sha256"]
    return {
        **kept,
        "pixels": pixels,
        "geometry": geometry,
        "section_mm": SECTION_MM,
        "version": __version__,
    }


def _provenance(volume: CTVolume, started: datetime) -> dict[str, Any]:
    packages = ("torch", "numpy", "scipy", "scikit-image", "pydicom", "nibabel")
    return {
        "schema": 1,
        "statement": STATEMENT,
        "package_version": __version__,
        "python": sys.version.split()[0],
        "dependencies": {name: _version(name) for name in packages},
        "input": input_identity(volume),
        "notes": [{"code": note.code, "message": note.message} for note in volume.notes],
        "started": started.isoformat(timespec="seconds"),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
