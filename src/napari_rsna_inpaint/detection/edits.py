"""A region of a result replaced by its re-inpainting: one step that can be taken back."""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.findings import Box
from napari_rsna_inpaint.detection.planes import ALL, Index, Planes
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io.write import write_atomic
from napari_rsna_inpaint.volume import Array

FloatArray = npt.NDArray[np.float32]

#: Images of a result that a re-inpainting changes.
IMAGES = ("inpainted", "residual", "heatmap", "minimum_distance")
#: Version of the file.
SCHEMA = 1
#: What reading a damaged file may raise.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class Edit:
    """What accepting a re-inpainted region changes in a result, and what was there before.

    Attributes
    ----------
    shape
        ``(z, y, x)`` of the scan.
    box
        The part of it that holds the region.
    region
        ``(z, y, x)`` bool of the box: where the images change.
    before, after
        By the names in `IMAGES`: ``(z, y, x)`` float32 of the box.
    seed, samples, model
        What it was drawn with: seed, number of completions, and name of the model.
    """

    shape: tuple[int, int, int]
    box: Box
    region: npt.NDArray[np.bool_]
    before: dict[str, FloatArray]
    after: dict[str, FloatArray]
    seed: int
    samples: int
    model: str

    @property
    def slices(self) -> tuple[int, ...]:
        """Slices of the scan that change, increasing."""
        return tuple(int(z) + self.box[0].start for z in np.flatnonzero(self.region.any((1, 2))))

    def apply(self, detection: Detection) -> None:
        """Write the completion into the images of a result, in place where they are arrays.

        Findings, labels and slice scores stay those of the detector.

        Raises
        ------
        InputRefused
            If the result belongs to another scan.
        """
        self._write(detection, self.after)

    def revert(self, detection: Detection) -> None:
        """Bring back what was there before, bit for bit; raises as `apply`."""
        self._write(detection, self.before)

    def applied(self, detection: Detection) -> bool:
        """Whether a result shows this edit, and nothing newer at its place."""
        return self._same_scan(detection) and self._shows(detection, self.after)

    def fits(self, detection: Detection) -> bool:
        """Whether a result shows what this edit is to replace."""
        return self._same_scan(detection) and self._shows(detection, self.before)

    def _same_scan(self, detection: Detection) -> bool:
        return tuple(detection.maps.labels.shape) == self.shape

    def _shows(self, detection: Detection, images: dict[str, FloatArray]) -> bool:
        return all(
            np.array_equal(shown(detection, name)[self.box], values)
            for name, values in images.items()
        )

    def _write(self, detection: Detection, images: dict[str, FloatArray]) -> None:
        if not self._same_scan(detection):
            raise InputRefused(
                f"The re-inpainted region belongs to a scan of shape {self.shape}, the result to "
                f"one of {tuple(detection.maps.labels.shape)}: open the scan it was drawn on."
            )
        for name, values in images.items():
            image = _writable(detection, name)
            if isinstance(image, Patched):
                image.paste(self.box, values)
            else:
                image[self.box] = values

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the edit as ``.npz``; the file appears whole or not at all.

        Raises
        ------
        OutputFailed
            If it cannot be written.
        """
        about = {
            "schema": SCHEMA,
            "shape": self.shape,
            "box": [[side.start, side.stop] for side in self.box],
            "seed": self.seed,
            "samples": self.samples,
            "model": self.model,
        }
        arrays: dict[str, Any] = {
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "region": np.packbits(self.region),
        }
        for when, images in (("before", self.before), ("after", self.after)):
            arrays |= {f"{when}_{name}": values for name, values in images.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return write_atomic(path, buffer.getbuffer())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Edit:
        """Read an edit back.

        Raises
        ------
        InputRefused
            If the file cannot be read or is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls._from_arrays(dict(stored))
        except _UNREADABLE as error:
            raise InputRefused(
                f"The accepted region in {Path(path).name} cannot be read; re-inpaint it anew."
            ) from error

    @classmethod
    def _from_arrays(cls, stored: dict[str, npt.NDArray]) -> Edit:
        about = json.loads(stored["about"].tobytes())
        if about["schema"] != SCHEMA:
            raise ValueError(f"schema {about['schema']}")
        z, y, x = (slice(*side) for side in about["box"])
        size = tuple(side.stop - side.start for side in (z, y, x))
        bits = np.unpackbits(stored["region"], count=int(np.prod(size)))
        before, after = (
            {name: stored[f"{when}_{name}"].reshape(size) for name in IMAGES}
            for when in ("before", "after")
        )
        return cls(
            shape=tuple(about["shape"]),
            box=(z, y, x),
            region=bits.view(bool).reshape(size),
            before=before,
            after=after,
            seed=about["seed"],
            samples=about["samples"],
            model=about["model"],
        )


class Patched(Planes):
    """Images computed plane by plane with boxes of other values on top.

    Parameters
    ----------
    base
        The images.
    """

    def __init__(self, base: Array) -> None:
        super().__init__(base.shape, base.dtype, self._patched)
        self._base = base
        self._patches: list[tuple[Box, npt.NDArray]] = []

    def paste(self, box: Box, values: npt.NDArray) -> None:
        """Show ``values`` in a box; what was pasted into the same box before is dropped."""
        self._patches = [one for one in self._patches if one[0] != box]
        self._patches.append((box, values))

    def _patched(self, z: int, rows: Index, columns: Index) -> npt.NDArray:
        near = [(box, values) for box, values in self._patches if box[0].start <= z < box[0].stop]
        if not near:
            return _plane(self._base, z, rows, columns)
        plane = np.array(_plane(self._base, z, ALL, ALL))
        for (depth, *side), values in near:
            plane[tuple(side)] = values[z - depth.start]
        return plane[rows][:, columns]


def _plane(images: Array, z: int, rows: Index, columns: Index) -> npt.NDArray:
    if isinstance(images, Planes):
        return images.plane(z, rows, columns)
    return np.asarray(images[z])[rows][:, columns]


def shown(detection: Detection, name: str) -> Array:
    """Image of a result as the layers show it: an array where it fits into the memory.

    ``name`` is one of its maps.
    """
    return getattr(detection if detection.fits_memory else detection.maps, name)


def _writable(detection: Detection, name: str) -> Any:
    """The image of a result to write to; made so where it is not, for maps and arrays alike."""
    image: Any = shown(detection, name)
    if not detection.fits_memory:
        if not isinstance(image, Patched):
            image = Patched(image)
        # an array made of it before would show what was
        vars(detection).pop(name, None)
    elif not image.flags.writeable:
        image = image.copy()
        vars(detection)[name] = image
    if getattr(detection.maps, name) is not image:
        detection.maps = replace(detection.maps, **{name: image})
    return image
