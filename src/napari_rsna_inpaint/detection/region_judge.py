"""What a re-inpainted region means for a scan: its numbers, and the heatmap that follows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brain import PackedMask
from napari_rsna_inpaint.detection.calibration import load_calibration
from napari_rsna_inpaint.detection.edits import IMAGES, Edit, shown
from napari_rsna_inpaint.detection.findings import Box
from napari_rsna_inpaint.detection.heatmap import heat
from napari_rsna_inpaint.detection.model_detector import brain_grid
from napari_rsna_inpaint.detection.native import NativeGrid
from napari_rsna_inpaint.detection.planes import Index, Planes
from napari_rsna_inpaint.detection.region import Reinpainting, turned
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.model import ModelConfig
from napari_rsna_inpaint.diffusion.model_folder import find_model, load_config
from napari_rsna_inpaint.volume import CTVolume


@dataclass(frozen=True)
class RegionNumbers:
    """Measures of a re-inpainted region, averaged over its voxels.

    Attributes
    ----------
    volume_ml
        Volume of what was completed.
    mean_hu, completed_hu, residual_hu
        Original, mean completion, and their difference.
    spread_hu, minimum_distance_hu
        Standard deviation between the completions, and minimum completion distance.
    z
        Calibrated residual: how many healthy spreads the region departs from healthy brain at
        the same distance to bone, signed.
    """

    volume_ml: float
    mean_hu: float
    completed_hu: float
    residual_hu: float
    spread_hu: float
    minimum_distance_hu: float
    z: float


class RegionJudge:
    """Judges re-inpainted regions of one scan as its detector would.

    Parameters
    ----------
    volume
        The series.
    mask
        Its brain mask in canonical orientation.
    model
        Model of the completions; the default one without.
    protocol
        Whose calibration is to be used.

    Raises
    ------
    InputRefused
        If there is no such model, or it has not been calibrated.
    """

    def __init__(
        self,
        volume: CTVolume,
        mask: PackedMask,
        *,
        model: str | Path | None = None,
        protocol: str = "fast",
    ) -> None:
        folder = find_model(model)
        config = load_config(folder, ModelConfig)
        self._model = folder.name
        self._calibration = load_calibration(folder, "grid", protocol)
        self._volume = volume.finite()
        self._mask = mask
        self._grid = brain_grid(self._volume, mask.outline()[None], config)
        self._scan = Scan(self._volume, mask, self._grid, config.pixel_mm)
        self._native = NativeGrid(self._volume, mask, self._grid, self._scan)

    def numbers(self, result: Reinpainting, detection: Detection | None = None) -> RegionNumbers:
        """Measures of a region.

        Parameters
        ----------
        detection
            Its residual is that of the region's surroundings, which the calibrated residual
            is smoothed with; without, there is none.
        """
        inside, slices = result.region, list(result.slices)
        original, completed = self._volume.hu[slices][inside], result.mean[inside]
        residual = original - completed
        counts = inside.sum((1, 2))
        self._take_in(result, detection)
        total = weight = 0.0
        for k in self._sections(result):
            z_residual = self._scan.evidence(k, self._calibration.norms).z_residual
            for z in set(self._native.slices(k)) & set(slices):
                share = self._to_model(inside[slices.index(z)]) * self._scan.brain(k)
                total += float((z_residual * share).sum(dtype=np.float64))
                weight += float(share.sum(dtype=np.float64))
        return RegionNumbers(
            volume_ml=float(counts @ self._volume.voxel_volumes_ml[slices]),
            mean_hu=_mean(original),
            completed_hu=_mean(completed),
            residual_hu=_mean(residual),
            spread_hu=_mean(result.spread[inside]),
            minimum_distance_hu=_mean(result.minimum_distance_hu[inside]),
            z=total / max(weight, 1e-6),
        )

    def consequences(self, result: Reinpainting, detection: Detection | None = None) -> Edit:
        """What accepting the mean of the completions changes in a result.

        The slices are judged anew with their neighbours; inside the region the heatmap becomes
        what follows from the new residual, outside it stays.

        Parameters
        ----------
        detection
            The result; without, nothing has been inpainted yet, and there is no heat.
        """
        depth, y, x = box = _box(result)
        rows, columns = np.arange(y.start, y.stop), np.arange(x.start, x.stop)
        original = self._volume.hu[box].astype(np.float32)
        if detection is None:
            nothing = np.zeros_like(original)
            before = dict(zip(IMAGES, (original, nothing, nothing, nothing), strict=True))
        else:
            before = {name: np.array(shown(detection, name)[box], np.float32) for name in IMAGES}
        after = {name: values.copy() for name, values in before.items()}
        region = np.zeros(original.shape, bool)
        heatmap = self._heatmap(result, detection)
        for z, part, mean in zip(result.slices, result.region, result.mean, strict=True):
            k = z - depth.start
            inside = region[k] = part[y, x]
            new = (
                mean[y, x],
                original[k] - mean[y, x],
                heatmap.plane(z, rows, columns),
                _nearest(original[k] - result.completions[:, result.slices.index(z), y, x]),
            )
            for name, values in zip(IMAGES, new, strict=True):
                after[name][k][inside] = values[inside]
        return Edit(
            shape=self._native.shape,
            box=box,
            region=region,
            before=before,
            after=after,
            seed=result.seed,
            samples=len(result.completions),
            model=self._model,
        )

    def _heatmap(self, result: Reinpainting, detection: Detection | None) -> Planes:
        """Heatmap of the slices of a region after its re-inpainting."""
        self._take_in(result, detection)
        concerned = set(self._sections(result))
        heats = {
            k: heat(evidence, candidates, self._calibration.rescorer)
            for k, evidence, candidates in self._scan.judged(self._calibration.norms)
            if k in concerned
        }
        signed = self._native.image(heats)
        if detection is None:
            return self._native.heatmap(signed, self._native.labels([]))
        labels, n = shown(detection, "labels"), len(detection.findings)

        def findings(z: int, rows: Index, columns: Index) -> npt.NDArray:
            plane = np.asarray(labels[z])[rows][:, columns]
            return np.where(plane <= n, plane, 0)

        return self._native.heatmap(signed, Planes(labels.shape, labels.dtype, findings))

    def _sections(self, result: Reinpainting) -> list[int]:
        """Sections with a part of the region, as far as they have brain on the model grid."""
        numbers = {
            int(self._scan.section_of[self._volume.canonical_slice(z)]) for z in result.slices
        }
        return sorted(numbers & set(self._scan.with_brain))

    def _take_in(self, result: Reinpainting, detection: Detection | None) -> None:
        """Give the scan the residuals after a re-inpainting, there and in the next sections."""
        wanted = {near for k in self._sections(result) for near in (k - 1, k, k + 1)}
        self._scan.residuals = {
            k: self._residual(k, result, detection)
            for k in sorted(wanted & set(self._scan.with_brain))
        }

    def _residual(self, k: int, result: Reinpainting, detection: Detection | None) -> npt.NDArray:
        """Residual of a section on the model grid, ``(y, x)`` HU: its mean over the brain."""
        total = np.zeros(self._scan.shape, np.float32)
        weight = np.zeros_like(total)
        for z in self._native.slices(k):
            if detection is None:
                plane = np.zeros(self._volume.hu.shape[1:], np.float32)
            else:
                plane = np.array(shown(detection, "residual")[z], np.float32)
            if z in result.slices:
                row = result.slices.index(z)
                inside = result.region[row]
                plane[inside] = (self._volume.hu[z] - result.mean[row])[inside]
            brain = turned(self._volume, self._mask[self._volume.canonical_slice(z)])
            total += self._to_model(np.where(brain, plane, 0))
            weight += self._to_model(brain)
        return total / np.maximum(weight, np.float32(1e-6))

    def _to_model(self, plane: npt.NDArray) -> npt.NDArray:
        """A plane of the volume averaged to the model grid."""
        return self._grid.average(turned(self._volume, plane).astype(np.float32))


def _nearest(differences: npt.NDArray) -> npt.NDArray:
    """Of ``(k, y, x)`` signed differences the one nearest to 0, ``(y, x)``."""
    smallest = np.abs(differences).argmin(0)[None]
    return np.take_along_axis(differences, smallest, axis=0)[0]


def _mean(values: npt.NDArray) -> float:
    return float(values.mean(dtype=np.float64))


def _box(result: Reinpainting) -> Box:
    """Smallest box of the volume with all of a region."""
    depth = slice(result.slices[0], result.slices[-1] + 1)
    y, x = (np.flatnonzero(result.region.any((0, axis))) for axis in (2, 1))
    return depth, slice(int(y[0]), int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1)
