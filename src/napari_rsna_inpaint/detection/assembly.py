"""Collects finished slices onto the volume's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.base import Detector, SliceScores
from napari_rsna_inpaint.detection.findings import Box, find
from napari_rsna_inpaint.detection.heatmap import heat, slice_score
from napari_rsna_inpaint.detection.result import Detection, SliceResult
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.volume import CTVolume


class Assembly:
    """Result of a run while it grows.

    Parameters
    ----------
    native_mask
        ``(z, y, x)`` brain mask on the volume's grid.
    flag_rate
        This part of healthy scans may exceed the threshold of the scan score.
    """

    def __init__(
        self,
        volume: CTVolume,
        native_mask: npt.NDArray[np.bool_],
        engine: Detector,
        flag_rate: float,
    ) -> None:
        self.mask = volume.to_canonical(native_mask)
        self._volume = volume
        self._engine = engine
        self._flag_rate = flag_rate
        self._native_mask = native_mask
        self._grid = engine.grid(volume, self.mask)
        self._scan = Scan(volume, self.mask, self._grid, engine.pixel_mm)
        self._scales: dict[int, npt.NDArray[np.float16]] = {}
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
        return sorted(set(chosen) & set(self._scan.slices))

    def add(self, scores: SliceScores) -> SliceResult:
        """Bring one slice to the native grid; its heat does not know its neighbours yet."""
        z = scores.index
        calibration = self._engine.calibration
        self._scan.residuals[z] = scores.residual
        self._scales[z] = scores.scales.astype(np.float16)
        evidence = self._scan.evidence(z, calibration.norms)
        candidates = self._scan.candidates(z, evidence, [])
        self._set_heat(z, heat(evidence, candidates, calibration.rescorer))
        # Views in canonical orientation write through to the native arrays.
        residual = self._volume.to_canonical(self._residual)
        residual[z] = np.where(self.mask[z], self._grid.to_native(scores.residual), 0)
        native = self._volume.canonical_slice(z)
        self._done[native] = True
        return SliceResult(
            native,
            self._volume.hu[native] - self._residual[native],
            self._residual[native],
            np.maximum(self._signed[native], 0),
        )

    def _set_heat(self, z: int, signed: npt.NDArray[np.float32]) -> None:
        heatmap = self._volume.to_canonical(self._signed)
        heatmap[z] = np.where(self.mask[z], self._grid.to_native(signed), 0)
        brain = self._scan.brain(z)
        score = slice_score(signed[brain], self._scan.pixel_mm)
        self._scores[self._volume.canonical_slice(z)] = score

    def finish(self, run: dict[str, Any]) -> Detection:
        """Judge every slice with its neighbours; findings over all slices."""
        calibration = self._engine.calibration
        for z, evidence, candidates in self._scan.judged(calibration.norms):
            self._set_heat(z, heat(evidence, candidates, calibration.rescorer))
        findings, labels = find(
            self._signed,
            self._residual,
            self._volume,
            self._engine.scale_names,
            self._scale_means,
            calibration.finding_heat,
        )
        # Wide sulci are dark in every slice: the map shows dark regions that are findings only.
        heatmap = np.where(labels > 0, np.abs(self._signed), np.maximum(self._signed, 0))
        score = float(self._scores.max())
        threshold = calibration.scan_threshold(self._flag_rate)
        known = np.isfinite(threshold)
        return Detection(
            brain_mask=self._native_mask,
            inpainted=self._volume.hu - self._residual,
            residual=self._residual,
            heatmap=heatmap,
            labels=labels,
            findings=findings,
            slice_scores=self._scores,
            done=self._done,
            run={
                **run,
                "scan": {
                    "score": score,
                    "threshold": threshold if known else None,
                    "flag_rate": self._flag_rate,
                    "suspicious": score > threshold if known else None,
                },
            },
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
