"""Evaluation over many scans: detect once, keep it, summarise, go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_rsna_inpaint.detection.base import Detector
from napari_rsna_inpaint.detection.files import make_folder
from napari_rsna_inpaint.detection.identity import pixel_sha256
from napari_rsna_inpaint.detection.registry import make_detector
from napari_rsna_inpaint.detection.resume import clear
from napari_rsna_inpaint.detection.run import OnProgress, detect
from napari_rsna_inpaint.errors import Cancelled, ChoiceNeeded, InputRefused
from napari_rsna_inpaint.evaluate import store
from napari_rsna_inpaint.evaluate.baselines import HealthyHu
from napari_rsna_inpaint.evaluate.cases import Case, slice_truth
from napari_rsna_inpaint.evaluate.store import Stored
from napari_rsna_inpaint.evaluate.summary import ScanSummary, summarise
from napari_rsna_inpaint.evaluate.synthetic import synthetic_bleed
from napari_rsna_inpaint.evaluate.truth import has_outlines, pixel_truth, read_truth
from napari_rsna_inpaint.io import read
from napari_rsna_inpaint.volume import CTVolume

SCANS = "scans"
_PARTIAL = "partial"
#: Parts of a detector's provenance that no stored detection is computed again for.
_NO_MATTER = {"device", "batch_size", "runtime"}


@dataclass(frozen=True)
class Settings:
    """How to detect and what counts.

    ``model`` names that of the detector, None its own; ``synthetic`` the number of bleeds put
    into every scan without one, ``shapes`` their outlines; ``min_brain_cm2`` the brain area from
    which on a slice counts.
    """

    detector: str
    protocol: str
    backend: str
    model: str | Path | None
    device: str
    seed: int
    synthetic: int = 0
    shapes: tuple[Path, ...] = ()
    min_brain_cm2: float = 10.0

    def identity(self) -> dict[str, Any]:
        """Everything but the scan that a detection depends on.

        Raises
        ------
        InputRefused
            If the detector, its model or its calibration is not to be had.
        """
        engine = self.make()
        about = {k: v for k, v in engine.provenance().items() if k not in _NO_MATTER}
        calibration = engine.calibration
        measured = "" if calibration is None else calibration.model_dump_json()
        # as it comes back from a file: lists, no tuples
        return json.loads(
            json.dumps(
                {
                    **about,
                    "code": _code_sha256(),
                    "protocol": self.protocol,
                    "backend": self.backend,
                    "seed": self.seed,
                    "calibration": hashlib.sha256(measured.encode()).hexdigest(),
                }
            )
        )

    def make(self) -> Detector:
        """The detector.

        Raises
        ------
        InputRefused
            If it or its model is not to be had.
        """
        return make_detector(
            self.detector,
            self.protocol,
            model=self.model,
            device=self.device,
            backend=self.backend,
        )


def _code_sha256() -> str:
    """Hash of everything that a stored detection runs through."""
    package = Path(__file__).parents[1]
    parts = ("brain", "detection", "diffusion", "inpaint", "io")
    files = [path for part in parts for path in (package / part).rglob("*.py")]
    files += [package / "volume.py", package / "evaluate" / "store.py"]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass
class Evaluation:
    """Finished scans and those left out, each with the reason.

    ``incomplete`` names scans with slices that could not be read, ``not_inserted`` synthetic
    bleeds that are missing, by scan and number, while their scan itself is among the finished.
    """

    summaries: list[ScanSummary] = field(default_factory=list)
    refused: list[tuple[Case, str]] = field(default_factory=list)
    not_inserted: list[tuple[Case, int, str]] = field(default_factory=list)
    unlabelled: list[Case] = field(default_factory=list)
    incomplete: list[Case] = field(default_factory=list)


def evaluate(
    cases: Iterable[Case],
    output: Path,
    settings: Settings,
    healthy_hu: HealthyHu,
    *,
    truth: Path | None = None,
    on_scan: Callable[[Case, str], None] | None = None,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Evaluation:
    """Score all scans by the detector and the baselines.

    Parameters
    ----------
    cases
        From `cases.read_cases`. Series without label or outline are listed, not computed.
    output
        Every finished detection is kept below ``scans``; the same detection is not computed
        again, and an interrupted one goes on where it was.
    healthy_hu
        For the baseline B2, from the calibration of the model.
    truth
        Folder of outlines, see `truth.read_truth`.
    on_scan
        Called with each case and a line on how it went.
    on_progress, cancelled
        As for `detect`.

    Raises
    ------
    Cancelled
        ``partial`` is the ``Evaluation`` of the finished scans.
    InputRefused
        If not one scan could be evaluated.
    """
    found = Evaluation()
    identity = settings.identity()

    def say(case: Case, line: str) -> None:
        if on_scan is not None:
            on_scan(case, line)

    for case in cases:
        if case.source == "none" and not has_outlines(truth, case):
            found.unlabelled.append(case)
            say(case, "left out: no labels")
            continue
        try:
            volume = read(case.path).finite()
            scan = _Scan(case, volume, output / SCANS / case.folder_name, settings, identity)
            for result in scan.summaries(truth, healthy_hu, on_progress, cancelled):
                if isinstance(result, _NotInserted):
                    found.not_inserted.append((case, result.number, result.reason))
                    say(case, f"synthetic bleed {result.number} left out: {result.reason}")
                else:
                    found.summaries.append(result)
                    say(case, describe(result))
        except (InputRefused, ChoiceNeeded) as error:
            found.refused.append((case, str(error)))
            say(case, f"refused: {error}")
            continue
        except Cancelled as error:
            raise Cancelled(str(error), found) from None
        if any(note.code == "slice-refused" for note in volume.notes):
            found.incomplete.append(case)
    if not found.summaries:
        reason = found.refused[0][1] if found.refused else "no series has labels or outlines."
        raise InputRefused(f"No scan could be evaluated: {reason}")
    return found


def describe(summary: ScanSummary) -> str:
    """One line on a finished scan."""
    bleeding = int(((summary.bleed == 1) & summary.counted).sum())
    n = int(summary.counted.sum())
    kind = "" if summary.kind in ("reference", "visual") else f", {summary.kind.replace('_', ' ')}"
    findings = summary.methods["ours"].n_candidates
    return f"{n} slices, {bleeding} with bleed{kind}; {findings} findings; {summary.seconds:.0f} s"


@dataclass(frozen=True)
class _NotInserted:
    """A synthetic bleed that is missing, counted from 0, and why."""

    number: int
    reason: str


@dataclass
class _Scan:
    """One scan on its way through detection."""

    case: Case
    volume: CTVolume
    folder: Path
    settings: Settings
    identity: dict[str, Any]

    def summaries(
        self,
        truth: Path | None,
        healthy_hu: HealthyHu,
        on_progress: OnProgress | None,
        cancelled: Callable[[], bool] | None,
    ) -> Iterator[ScanSummary | _NotInserted]:
        """The scan as it is, then with each synthetic bleed."""
        labels = slice_truth(self.case, self.volume)
        outlines = read_truth(truth, self.case, self.volume, labels)
        stored = self._detected(self.volume, self.folder, on_progress, cancelled)
        kind = "visual" if self.case.source == "visual" else "reference"
        as_it_is = summarise(
            self.case,
            kind,
            self.volume,
            stored,
            labels,
            outlines,
            healthy_hu,
            min_brain_cm2=self.settings.min_brain_cm2,
        )
        yield as_it_is
        if as_it_is.bleeding is not False:
            return
        brain = stored.whole_brain(self.volume.hu.shape)
        del stored
        for k in range(self.settings.synthetic):
            try:
                bleed = synthetic_bleed(
                    self.volume,
                    brain,
                    self.case.name,
                    k,
                    seed=self.settings.seed,
                    shapes=self.settings.shapes,
                )
            except InputRefused as error:
                yield _NotInserted(k, str(error))
                continue
            folder = self.folder / f"synthetic_{k}"
            yield summarise(
                self.case,
                f"synthetic_{bleed.hu_set}",
                bleed.volume,
                self._detected(bleed.volume, folder, on_progress, cancelled),
                bleed.labels,
                pixel_truth(bleed.mask, np.ones(len(bleed.mask), bool), bleed.volume, bleed.labels),
                healthy_hu,
                min_brain_cm2=self.settings.min_brain_cm2,
            )

    def _detected(
        self,
        volume: CTVolume,
        folder: Path,
        on_progress: OnProgress | None,
        cancelled: Callable[[], bool] | None,
    ) -> Stored:
        """The stored detection, or a new one."""
        if cancelled is not None and cancelled():
            raise Cancelled
        identity = {**self.identity, "pixels": pixel_sha256(volume)}
        stored = store.load(folder, identity)
        if stored is not None:
            return stored
        make_folder(folder)
        # Slices of a run that was stopped count for the same code only.
        partial = folder / f"{_PARTIAL}-{identity['code'][:16]}"
        interrupted = partial.exists()
        detection = detect(
            volume,
            self.settings.detector,
            protocol=self.settings.protocol,
            model=self.settings.model,
            device=self.settings.device,
            backend=self.settings.backend,
            seed=self.settings.seed,
            store=partial,
            on_progress=on_progress,
            cancelled=cancelled,
        )
        detection.run["interrupted"] = interrupted
        stored = store.compact(detection)
        store.save(folder, stored, identity)
        for finished in folder.glob(f"{_PARTIAL}*"):
            clear(finished)
        return stored
