"""Re-inpainting as a job: what a study needs for it is made once, and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint._qt.worker import Job, Report
from napari_rsna_inpaint.detection.edits import Edit
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.volume import CTVolume

if TYPE_CHECKING:
    # They load torch; that takes seconds and must not happen in the window.
    from napari_rsna_inpaint.brain import PackedMask
    from napari_rsna_inpaint.detection.region import Reinpainting
    from napari_rsna_inpaint.detection.region_judge import RegionJudge, RegionNumbers

BoolArray = npt.NDArray[np.bool_]
Asked = Callable[[], bool]

_WAIT_S = 0.1


@dataclass(frozen=True)
class Progress:
    """Slices that are completed, of all."""

    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Completion:
    """One completion: its number from 0, its slices, and ``(z, y, x)`` float32 HU of these."""

    number: int
    slices: tuple[int, ...]
    image: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Outcome:
    """All completions, their numbers, and what accepting them changes in ``detection``.

    ``edit`` and ``detection`` are None where nothing was detected yet.
    """

    result: Reinpainting
    numbers: RegionNumbers
    judge: RegionJudge
    edit: Edit | None
    detection: Detection | None


class RegionStudy:
    """A series with what re-inpainting needs of it: brain mask, model, judge.

    They are made when they are first needed, in the thread that needs them.

    Attributes
    ----------
    volume
        The series.
    options
        ``model``, ``device``, ``backend`` and ``protocol``.
    """

    def __init__(self, volume: CTVolume, options: dict[str, Any]) -> None:
        self.volume = volume
        self.options = options
        self._making = threading.Lock()
        self._made: tuple[PackedMask, RegionJudge] | None = None

    def made(self, detection: Detection | None, cancelled: Asked) -> tuple[PackedMask, RegionJudge]:
        """Brain mask, that of a result where there is one, and judge.

        Raises
        ------
        InputRefused
            If there is no brain in the series, or the model cannot be used.
        Cancelled
            When ``cancelled()`` returned True.
        """
        while not self._making.acquire(timeout=_WAIT_S):
            if cancelled():
                raise Cancelled
        try:
            if self._made is None:
                self._made = self._make(detection, cancelled)
            return self._made
        finally:
            self._making.release()

    def _make(
        self, detection: Detection | None, cancelled: Asked
    ) -> tuple[PackedMask, RegionJudge]:
        from napari_rsna_inpaint.brain import packed_brain_mask
        from napari_rsna_inpaint.detection.region import pack_mask
        from napari_rsna_inpaint.detection.region_judge import RegionJudge

        if detection is None:
            mask = packed_brain_mask(self.volume, cancelled=cancelled)
        else:
            mask = pack_mask(self.volume, detection.maps.brain_mask)
        if not mask.outline().any():
            raise InputRefused("No brain was found in this series; is it an axial head CT?")
        judge = RegionJudge(
            self.volume, mask, model=self.options["model"], protocol=self.options["protocol"]
        )
        # The first completion with a model takes longer than all later ones.
        self.reinpaint(_one_pixel(self.volume, mask), mask, samples=1, cancelled=cancelled)
        return mask, judge

    def reinpaint(self, region: BoolArray, mask: PackedMask, **options: Any) -> Reinpainting:
        """Complete a region with the model of the study (see `detection.region.reinpaint`)."""
        from napari_rsna_inpaint.detection.region import reinpaint

        chosen = {name: self.options[name] for name in ("model", "device", "backend")}
        return reinpaint(self.volume, region, mask=mask, **chosen, **options)


def preparation_job(study: RegionStudy, detection: Detection | None) -> Job:
    """Make the job that makes what a study needs, while its reader still draws."""

    def compute(_report: Report, cancelled: Asked) -> None:
        study.made(detection, cancelled)

    return Job("preparation of re-inpainting", compute)


def region_job(
    study: RegionStudy,
    region: BoolArray,
    *,
    samples: int,
    seed: int,
    detection: Detection | None,
) -> Job:
    """Make the job that completes a region; it reports `Progress` and every `Completion`."""

    def compute(report: Report, cancelled: Asked) -> Outcome:
        mask, judge = study.made(detection, cancelled)
        result = study.reinpaint(
            region,
            mask,
            samples=samples,
            seed=seed,
            on_progress=lambda done, total: report(Progress(done, total)),
            # a copy, since the array is that of the result
            on_completion=lambda k, slices, image: report(Completion(k, slices, image.copy())),
            cancelled=cancelled,
        )
        return Outcome(
            result=result,
            numbers=judge.numbers(result, detection),
            judge=judge,
            edit=None if detection is None else judge.consequences(result, detection),
            detection=detection,
        )

    return Job("re-inpainting", compute)


def _one_pixel(volume: CTVolume, mask: PackedMask) -> BoolArray:
    """A region of one pixel, ``(z, y, x)``, in the slice with the most brain."""
    canonical = max(range(len(mask)), key=lambda z: int(mask[z].sum()))
    region = np.zeros(volume.hu.shape, bool)
    y, x = np.argwhere(mask[canonical])[0]
    volume.to_canonical(region)[canonical, y, x] = True
    return region
