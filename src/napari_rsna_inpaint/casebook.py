"""What one reader decides about one study, on disk as soon as it is decided.

Joins the store of verdicts with the folders of results: whatever was seen and judged can be
shown again as it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.edits import Edit
from napari_rsna_inpaint.detection.files import (
    RUN,
    load_detection,
    make_folder,
    write_detection,
)
from napari_rsna_inpaint.detection.result import Detection, Finding
from napari_rsna_inpaint.detection.resume import clear
from napari_rsna_inpaint.errors import RsnaInpaintError
from napari_rsna_inpaint.store import Event, Run, Store, Verdict, pack_region, unpack_region
from napari_rsna_inpaint.volume import CTVolume


@dataclass(frozen=True, eq=False)
class Drawn:
    """A region that a reader drew because it was missed: ``region`` is bool ``(z, y, x)``."""

    finding: Finding
    region: npt.NDArray[np.bool_]


class Casebook:
    """Verdicts of one reader on one study.

    Every decision is in the store, on disk, when its method returns; the store is asked for
    what counts, nothing is remembered here but which run is read.

    Parameters
    ----------
    store
        Where verdicts are kept.
    reader
        Pseudonym of the reader.
    results
        Folder for the images of all runs.
    identity
        Of the series, from `input_identity`.

    Attributes
    ----------
    run
        The run that is read, or None.
    """

    def __init__(self, store: Store, reader: str, results: Path, identity: dict[str, Any]) -> None:
        self._store = store
        self._reader = reader
        self._results = results
        self.study = store.put_study(identity)
        self.run: Run | None = None
        self._whole: set[str] = set()

    def last_run(self) -> Run | None:
        """The run that this reader left, or the newest one of the study."""
        runs = self._store.runs(self.study)
        left = (self.place() or {}).get("run")
        return next((run for run in runs if run.id == left), runs[0] if runs else None)

    def begin(self, detection: Detection, features: Callable[[], dict[str, list[float]]]) -> Run:
        """Read a new result.

        A result like an earlier one (same model, settings and findings) is that run again, so
        that detecting twice loses no verdict. ``features`` of its findings are asked for when
        it is new.
        """
        both = (*detection.findings, *detection.further)
        findings = json.loads(json.dumps([one.to_json() for one in both]))
        for run in self._store.runs(self.study):
            if run.findings == findings and _same(run.run, detection.run):
                self.run = run
                return run
        identity = self._store.put_run(
            self.study, detection.run, findings, folder=None, features=features()
        )
        self.run = next(run for run in self._store.runs(self.study) if run.id == identity)
        return self.run

    def folder(self, run: Run) -> Path:
        """Where the images of a run are kept on this machine."""
        return self._results / self.study[:16] / run.id

    @property
    def sections(self) -> Path:
        """Where a detection of this study keeps its finished slices."""
        return self._results / self.study[:16] / "sections"

    def keep_images(self, run: Run, detection: Detection, volume: CTVolume) -> None:
        """Write the images of a run, unless they were written or read before.

        Those of a very long series are not written, they would take gigabytes: of it, the
        finished slices are kept, from which it is detected again in a fraction of the time.

        Raises
        ------
        OutputFailed
            If the disk is full or read-only.
        """
        if run.id not in self._whole and detection.fits_memory:
            make_folder(self.folder(run))
            write_detection(self.folder(run), detection, volume)
            self._whole.add(run.id)
            clear(self.sections)

    def images(self, run: Run, volume: CTVolume) -> Detection | None:
        """Result of a run as it was left, or None if not kept here.

        Accepted edits are included, but for those that cannot be read (see `edits`).

        Raises
        ------
        RsnaInpaintError
            If the files are damaged.
        """
        if not (self.folder(run) / RUN).exists():
            return None
        detection = load_detection(self.folder(run), volume)
        for edit in self.edits(run)[0]:
            edit.apply(detection)
        self._whole.add(run.id)
        return detection

    def decide(
        self,
        finding: str,
        verdict: str,
        *,
        reason: str | None = None,
        note: str = "",
        opened: float | None = None,
        context: dict[str, Any] | None = None,
    ) -> Event:
        """Record a verdict on a finding."""
        return self._store.record(
            self._run.id,
            finding,
            verdict,
            reader=self._reader,
            reason=reason,
            note=note,
            opened=opened,
            context=context,
        )

    def note(self, finding: str, text: str) -> Event:
        """Record a remark on a finding."""
        return self._store.note(self._run.id, finding, text, reader=self._reader)

    def supplement(self, finding: Finding, region: npt.NDArray[np.bool_]) -> Event:
        """Record a region ``(z, y, x)`` that was missed."""
        return self._store.supplement(
            self._run.id, finding.to_json(), pack_region(region), reader=self._reader
        )

    def edit(self, edit: Edit) -> Event:
        """Record an accepted completion of a region; its images are on disk first."""
        name = f"edit_{time.time_ns()}.npz"
        make_folder(self.folder(self._run))
        edit.save(self.folder(self._run) / name)
        detail = {
            "file": name,
            "slices": list(edit.slices),
            "seed": edit.seed,
            "samples": edit.samples,
            "model": edit.model,
        }
        return self._store.edit(self._run.id, detail, reader=self._reader)

    def undo(self) -> Event | None:
        """Take back what this reader did last in this run; returns what was taken back."""
        mine = [
            event
            for event in self._store.events(run=self._run.id)
            if event.reader == self._reader and not event.reverted and event.kind != "undo"
        ]
        if not mine:
            return None
        self._store.undo(mine[-1].id, reader=self._reader)
        return mine[-1]

    def edits(self, run: Run | None = None) -> tuple[list[Edit], str]:
        """Accepted completions of a run, by default the one that is read, in their order.

        Those that cannot be read are left out; the second value says so, or is empty.
        """
        of = self._run if run is None else run
        edits: list[Edit] = []
        problem = ""
        for event in self._standing(of, "edit"):
            try:
                edits.append(self._load(of, event))
            except RsnaInpaintError as error:
                problem = str(error)
        return edits, problem

    def edit_of(self, event: Event) -> Edit:
        """The edit that an event recorded."""
        return self._load(self._run, event)

    def verdicts(self) -> dict[str, Verdict]:
        """What counts now, by identity of the finding."""
        return {} if self.run is None else self._store.verdicts(self.run.id)

    def drawn(self) -> list[Drawn]:
        """Regions that were drawn in this run, in the order in which they were."""
        if self.run is None:
            return []
        return [
            Drawn(Finding(**event.detail["finding"]), unpack_region(event.region))
            for event in self._standing(self.run, "supplement")
        ]

    def leave_at(self, place: dict[str, Any]) -> None:
        """Remember where the reader is."""
        run = None if self.run is None else self.run.id
        self._store.set_place(self.study, self._reader, {**place, "run": run})

    def place(self) -> dict[str, Any] | None:
        """Where the reader was."""
        return self._store.place(self.study, self._reader)

    @property
    def _run(self) -> Run:
        if self.run is None:
            raise RsnaInpaintError("There is no result to judge yet: press Detect first.")
        return self.run

    def _standing(self, run: Run, kind: str) -> list[Event]:
        """Events of a kind that were not taken back."""
        events = self._store.events(run=run.id)
        return [event for event in events if event.kind == kind and not event.reverted]

    def _load(self, run: Run, event: Event) -> Edit:
        return Edit.load(self.folder(run) / event.detail["file"])


#: What makes two runs alike; times, devices and versions of libraries do not.
_ALIKE = ("model_sha256", "detector", "protocol", "parameters", "seed", "slices", "finished")


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in _ALIKE)
