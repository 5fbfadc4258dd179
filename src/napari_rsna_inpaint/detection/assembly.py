"""Collects finished sections and gives them back on the volume's own grid."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brain import PackedMask
from napari_rsna_inpaint.detection.base import Detector, SliceScores
from napari_rsna_inpaint.detection.findings import Region, find
from napari_rsna_inpaint.detection.heatmap import heat, slice_score
from napari_rsna_inpaint.detection.native import NativeGrid
from napari_rsna_inpaint.detection.result import Detection, Maps, SliceResult
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.detection.square_metrics import Squares
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.volume import CTVolume


class _Heats(Mapping[int, npt.NDArray[np.float32]]):
    """Heat of every section that has a residual: the final one, or a preview while it is not there.

    Most previews are never looked at, and are not made.
    """

    def __init__(
        self,
        final: Mapping[int, npt.NDArray[np.float32]],
        residuals: Mapping[int, npt.NDArray[np.float32]],
        preview: Callable[[int], npt.NDArray[np.float32]],
    ) -> None:
        self._final = final
        self._residuals = residuals
        self._preview = functools.lru_cache(maxsize=8)(preview)

    def __getitem__(self, k: int) -> npt.NDArray[np.float32]:
        return self._final[k] if k in self._final else self._preview(k)

    def __contains__(self, k: object) -> bool:
        return k in self._residuals

    def __iter__(self) -> Iterator[int]:
        return iter(self._residuals)

    def __len__(self) -> int:
        return len(self._residuals)


class Assembly:
    """Result of a run while it grows: kept on the model grid, shown on the volume's.

    Parameters
    ----------
    mask
        Brain mask in canonical orientation, with brain.
    flag_rate
        This part of healthy scans may exceed the threshold of the scan score.

    Attributes
    ----------
    scan
        The sections that a detector is to complete.

    Raises
    ------
    InputRefused
        If the brain in the mask is smaller than a pixel of the model grid.
    """

    def __init__(
        self, volume: CTVolume, mask: PackedMask, engine: Detector, flag_rate: float
    ) -> None:
        self._volume = volume
        self._engine = engine
        self._flag_rate = flag_rate
        self._grid = engine.grid(volume, mask.outline())
        self.scan = Scan(volume, mask, self._grid, engine.pixel_mm)
        if not self.scan.with_brain:
            raise InputRefused("Too little brain was found in this series to look at.")
        self._native = NativeGrid(volume, mask, self._grid, self.scan)
        # what is shown; ``scan.residuals`` are what is judged, for most detectors the same
        self._residuals: dict[int, npt.NDArray[np.float32]] = {}
        self._scales: dict[int, npt.NDArray[np.float16]] = {}
        self._minimum: dict[int, npt.NDArray[np.float16]] = {}
        self._squares: dict[int, Squares] = {}
        self._heat: dict[int, npt.NDArray[np.float32]] = {}
        self._decided: dict[int, npt.NDArray[np.float32]] = {}
        self._signed = self._native.image(_Heats(self._heat, self._residuals, self._preview))
        self._maps = self._with_labels([], [])
        n = len(volume.hu)
        self._scores = np.zeros(n, np.float32)
        self._done = np.zeros(n, bool)

    def wanted(self, slices: Sequence[int] | None) -> list[int]:
        """Numbers of the sections to compute: those with brain.

        Raises
        ------
        InputRefused
            If there is no such slice.
        """
        n = len(self._volume.hu)
        if slices is None:
            return self.scan.with_brain
        if not all(0 <= z < n for z in slices):
            raise InputRefused(f"Slices must lie between 0 and {n - 1}.")
        chosen = {int(self.scan.section_of[self._volume.canonical_slice(z)]) for z in slices}
        return sorted(chosen & set(self.scan.with_brain))

    def add(self, scores: SliceScores) -> list[SliceResult]:
        """Take in a section; its slices, whose heat is made without neighbours if looked at."""
        k = scores.index
        self._residuals[k] = scores.residual
        if scores.heat is not None:
            self._decided[k] = scores.heat
        else:
            self.scan.residuals[k] = (
                scores.residual if scores.deviation is None else scores.deviation
            )
        self._scales[k] = scores.scales.astype(np.float16)
        nearest = scores.residual if scores.minimum is None else scores.minimum
        self._minimum[k] = nearest.astype(np.float16)
        self._squares[k] = scores.squares
        self._done[self._native.slices(k)] = True
        return [SliceResult(z, self._maps) for z in self._native.slices(k)]

    def finish(self, run: dict[str, Any]) -> Detection:
        """Judge every section with its neighbours; findings over all of them."""
        calibration = self._engine.calibration
        self._heat.update(self._decided)
        if calibration is not None:
            for k, evidence, candidates in self.scan.judged(calibration.norms):
                self._heat[k] = heat(evidence, candidates, calibration.rescorer)
        for k, signed in self._heat.items():
            score = slice_score(signed[self.scan.brain(k)], self.scan.pixel_mm)
            self._scores[self._native.slices(k)] = score
        finding_heat = self._engine.finding_heat
        threshold, healthy_scores = math.inf, []
        # a detector that decided by itself did not use the thresholds of the judge
        if calibration is not None and not self._decided:
            finding_heat = calibration.finding_heat
            threshold = calibration.scan_threshold(self._flag_rate)
            healthy_scores = list(calibration.healthy_scan_scores)
        sections = self._native.stack(self._heat)
        found, further = find(
            sections.values,
            self._maps.residual,
            self._volume,
            self._engine.scale_names,
            self._scale_means,
            finding_heat,
            sections.place,
        )
        score = float(self._scores.max())
        known = np.isfinite(threshold)
        return Detection(
            maps=self._with_labels(
                [region for _, region in found], [region for _, region in further]
            ),
            findings=[finding for finding, _ in found],
            slice_scores=self._scores,
            done=self._done,
            run={
                **run,
                "scan": {
                    "score": score,
                    "threshold": threshold if known else None,
                    "flag_rate": self._flag_rate,
                    "suspicious": score > threshold if known else None,
                    "finding_heat": finding_heat,
                    "healthy_scores": healthy_scores,
                },
            },
            further=[finding for finding, _ in further],
            squares=[
                square
                for k in sorted(self._squares, key=lambda k: self._native.slices(k)[0])
                for square in self._native.squares(k, self._squares[k], self._engine.scale_names)
            ],
        )

    def _with_labels(self, found: Sequence[Region], further: Sequence[Region]) -> Maps:
        # Wide sulci are dark in every slice: the map shows dark regions that are findings only.
        residual = self._native.image(self._residuals)
        return Maps(
            brain_mask=self._native.brain(),
            inpainted=self._native.completion(residual),
            residual=residual,
            heatmap=self._native.heatmap(self._signed, self._native.labels(found)),
            labels=self._native.labels([*found, *further]),
            minimum_distance=self._native.image(self._minimum),
        )

    def _preview(self, k: int) -> npt.NDArray[np.float32]:
        """Heat of a section as long as its neighbours are not all there."""
        calibration = self._engine.calibration
        if k in self._decided or calibration is None:
            return self._decided.get(k, np.zeros(self.scan.shape, np.float32))
        evidence = self.scan.evidence(k, calibration.norms)
        return heat(evidence, self.scan.candidates(k, evidence, []), calibration.rescorer)

    def _scale_means(self, region: Region) -> npt.NDArray[np.float64]:
        in_plane = tuple(axis - 1 for axis in self._volume.canonical_flips if axis > 0)
        total = np.zeros(len(self._engine.scale_names))
        weight = 0.0
        for z, part in enumerate(region.part, start=region.box[0].start):
            plane = np.zeros(self._volume.hu.shape[1:], np.float32)
            plane[region.box[1:]] = part
            share = self._grid.average(np.flip(plane, in_plane))
            scales = self._scales[self.scan.section_of[self._volume.canonical_slice(z)]]
            total += (scales * share).sum((1, 2), dtype=np.float64)
            weight += float(share.sum())
        return total / max(weight, 1e-6)
