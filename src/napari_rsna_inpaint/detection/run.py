"""``detect``: a volume in, completions, heatmap and findings out."""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint import STATEMENT, __version__
from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.detection.base import Detector, SliceScores
from napari_rsna_inpaint.detection.findings import Box, find
from napari_rsna_inpaint.detection.heatmap import bone_distance, heat
from napari_rsna_inpaint.detection.names import ENTRY_POINT_GROUP
from napari_rsna_inpaint.detection.result import Detection, SliceResult
from napari_rsna_inpaint.detection.resume import SliceStore, clear
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

log = logging.getLogger(__name__)

#: A slice is scored by the mean of its hottest pixels of this total area, bright ones only.
SLICE_SCORE_MM2 = 40.0

OnProgress = Callable[[int, int, SliceResult | None], None]


def detect(
    volume: CTVolume,
    detector: str = "grid",
    *,
    protocol: str = "fast",
    model: str | Path | None = None,
    device: str = "auto",
    backend: str = "torch",
    seed: int = 0,
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
    seed
        The result is a function of volume, settings and seed: on a CPU bit for bit,
        whatever the batch size and order, and whether or not it was resumed.
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
    engine = _make_detector(
        detector, protocol, model=model, device=device, backend=backend, batch_size=batch_size
    )
    if engine.calibration.protocol != protocol:
        log.warning(
            "The model is not calibrated for %r; the scale of %r is used.",
            protocol,
            engine.calibration.protocol,
        )
    if store is not None and not resume:
        clear(store)
    mask = brain_mask(volume, cancelled=cancelled)
    if not mask.any():
        raise InputRefused("No brain was found in this series; is it an axial head CT?")
    assembly = _Assembly(volume, mask, engine)
    parameters = {
        **engine.provenance(),
        "protocol": protocol,
        "slices": None if slices is None else [int(z) for z in slices],
        "seed": seed,
    }
    provenance = _provenance(volume, started)
    wanted = assembly.wanted(slices)
    shelf: SliceStore | None = None
    stored: dict[int, SliceScores] = {}
    if store is not None:
        shelf = SliceStore(store, _identity(volume, provenance, parameters))
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
            result = assembly.add(scores)
            if on_progress is not None:
                on_progress(0, 0, result)
        for scores in engine.run(
            volume, assembly.mask, indices=todo, seed=seed, on_step=on_step, cancelled=cancelled
        ):
            if shelf is not None:
                shelf = _keep(shelf, scores)
            result = assembly.add(scores)
            if on_progress is not None:
                on_progress(evaluations, n_total, result)
    except Cancelled as error:
        stop = error
    run = {
        **provenance,
        **parameters,
        "denoiser_evaluations": evaluations,
        "seconds": round(time.monotonic() - clock, 3),
        "finished": stop is None,
    }
    detection = assembly.finish(run)
    if stop is not None:
        raise Cancelled("Cancelled; the finished slices are kept.", detection) from None
    return detection


class _Assembly:
    """Collects finished slices onto the volume's own grid."""

    def __init__(
        self,
        volume: CTVolume,
        native_mask: npt.NDArray[np.bool_],
        engine: Detector,
    ) -> None:
        self._pixel_mm = engine.pixel_mm
        self._volume = volume
        self._engine = engine
        self._native_mask = native_mask
        self.mask = volume.to_canonical(native_mask)
        self._hu = volume.to_canonical(volume.hu)
        self._grid: ModelGrid = engine.grid(volume, self.mask)
        self._distance = bone_distance(volume, self.mask, self._grid, self._pixel_mm)
        self._scales: dict[int, npt.NDArray[np.float32]] = {}
        shape = volume.hu.shape
        self._residual = np.zeros(shape, np.float32)
        self._signed = np.zeros(shape, np.float32)
        self._scores = np.zeros(shape[0], np.float32)
        self._done = np.zeros(shape[0], bool)

    def wanted(self, slices: Sequence[int] | None) -> list[int]:
        """Canonical indices of the slices to compute: those with brain."""
        n = len(self.mask)
        if slices is not None and not all(0 <= z < n for z in slices):
            raise InputRefused(f"Slices must lie between 0 and {n - 1}.")
        chosen = range(n) if slices is None else map(self._volume.canonical_slice, slices)
        return sorted(set(chosen) & set(self._grid.slices_with(self.mask)))

    def add(self, scores: SliceScores) -> SliceResult:
        """Bring one slice to the native grid."""
        z = scores.index
        image = self._grid.image_to_model(self._hu[z])
        brain = self._grid.mask_to_model(self.mask[z])
        signed = heat(
            scores.residual,
            image,
            brain,
            self._distance[z],
            self._engine.calibration,
            self._pixel_mm,
        )
        inside = self.mask[z]
        # Views in canonical orientation write through to the native arrays.
        residual = self._volume.to_canonical(self._residual)
        residual[z] = np.where(inside, self._grid.to_native(scores.residual), 0)
        heatmap = self._volume.to_canonical(self._signed)
        heatmap[z] = np.where(inside, self._grid.to_native(signed), 0)
        self._scales[z] = scores.scales.astype(np.float16)
        native = self._volume.canonical_slice(z)
        n_hottest = max(1, round(SLICE_SCORE_MM2 / self._pixel_mm**2))
        hottest = np.sort(np.maximum(signed[brain], 0))[-n_hottest:]
        self._scores[native] = hottest.sum() / n_hottest
        self._done[native] = True
        return SliceResult(
            native,
            self._volume.hu[native] - self._residual[native],
            self._residual[native],
            np.abs(self._signed[native]),
        )

    def finish(self, run: dict[str, Any]) -> Detection:
        """Findings over all slices, and everything in one object."""
        findings, labels = find(
            self._signed, self._residual, self._volume, self._engine.scale_names, self._scale_means
        )
        return Detection(
            brain_mask=self._native_mask,
            inpainted=self._volume.hu - self._residual,
            residual=self._residual,
            heatmap=np.abs(self._signed),
            labels=labels,
            findings=findings,
            slice_scores=self._scores,
            done=self._done,
            run=run,
        )

    def _scale_means(self, box: Box, part: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        region = np.zeros((len(part), *self._volume.hu.shape[1:]), np.float32)
        region[:, box[1], box[2]] = part
        region = np.flip(region, tuple(a for a in self._volume.canonical_flips if a > 0))
        total = np.zeros(len(self._engine.scale_names))
        weight = 0.0
        for native, plane in zip(range(box[0].start, box[0].stop), region, strict=True):
            share = self._grid.average(plane)
            scales = self._scales[self._volume.canonical_slice(native)]
            total += (scales * share).sum((1, 2), dtype=np.float64)
            weight += float(share.sum())
        return total / max(weight, 1e-6)


def _keep(shelf: SliceStore, scores: SliceScores) -> SliceStore | None:
    """Store a slice; None, after a warning, where the disk is full or read-only."""
    try:
        shelf.save(scores)
    except OSError as error:
        log.warning("Finished slices cannot be kept for --resume (%s).", error.strerror or error)
        return None
    return shelf


def _make_detector(name: str, protocol: str, **options: Any) -> Detector:
    if protocol not in PROTOCOLS:
        raise InputRefused(f"Unknown protocol {protocol!r}; choose {', '.join(PROTOCOLS)}.")
    found = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in found:
        raise InputRefused(f"Unknown detector {name!r}; installed: {', '.join(sorted(found))}.")
    return found[name].load()(protocol, **options)


def pixel_sha256(volume: CTVolume) -> str:
    """SHA-256 of the HU values, slice by slice."""
    digest = hashlib.sha256(str((volume.hu.shape, volume.hu.dtype.str)).encode())
    for plane in volume.hu:
        digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()


def _identity(
    volume: CTVolume, provenance: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, Any]:
    """What a slice depends on; the batch size and the other slices do not belong to it."""
    kept = {k: v for k, v in parameters.items() if k not in {"batch_size", "slices"}}
    geometry = hashlib.sha256(volume.affine.tobytes() + volume.positions.tobytes()).hexdigest()
    pixels = provenance["input"]["pixel_sha256"]
    return {**kept, "pixels": pixels, "geometry": geometry, "version": __version__}


def _provenance(volume: CTVolume, started: datetime) -> dict[str, Any]:
    packages = ("torch", "numpy", "scipy", "scikit-image", "pydicom", "nibabel")
    return {
        "schema": 1,
        "statement": STATEMENT,
        "package_version": __version__,
        "python": sys.version.split()[0],
        "dependencies": {name: _version(name) for name in packages},
        "input": {
            "source_id": volume.source_id,
            "pixel_sha256": pixel_sha256(volume),
            "shape": list(volume.hu.shape),
            "spacing_mm": list(volume.spacing),
        },
        "notes": [{"code": note.code, "message": note.message} for note in volume.notes],
        "started": started.isoformat(timespec="seconds"),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
