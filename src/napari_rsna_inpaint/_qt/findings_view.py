"""The layer ``Findings``: outlines in the colour of the verdict, with all that is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_rsna_inpaint._qt.findings_list import Entry
from napari_rsna_inpaint.casebook import Drawn
from napari_rsna_inpaint.detection.planes import Index, Planes
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.volume import Array

#: With so many labels napari's colours take a fraction of the time that they take with more.
_MOST_SLIM = 255
#: Opacity, as in hexadecimal colours.
_FAINT = "80"


def slim_labels(detection: Detection) -> Array:
    """Numbers of the detector's regions ``(z, y, x)``, as 8 bits where they suffice."""
    images = detection if detection.fits_memory else detection.maps
    count = len(detection.findings) + len(detection.further)
    return images.labels.astype(np.uint8) if count <= _MOST_SLIM else images.labels


def colour(layer: Labels, entries: list[Entry], chosen: str = "") -> None:
    """Outline the listed regions, and only these, with all that is known of them as features."""
    outline(layer, entries, chosen)
    layer.features = _features(entries)


def outline(layer: Labels, entries: list[Entry], chosen: str) -> None:
    """Outline the listed regions; beside the chosen one, the others are faint."""
    colours: dict[int | None, Any] = {0: "transparent", None: "transparent"}
    for entry in entries:
        faint = chosen and entry.id != chosen
        colours[entry.label] = entry.colour + (_FAINT if faint else "ff")
    layer.colormap = DirectLabelColormap(color_dict=colours)


def _features(entries: list[Entry]) -> dict[str, list[Any]]:
    """Columns of the table of features; the first row stands for the background."""
    rows = sorted(entries, key=lambda entry: entry.label)
    columns: dict[str, list[Any]] = {
        "index": [0, *(row.label for row in rows)],
        "id": ["", *(row.id for row in rows)],
        "slices": ["", *("{}-{}".format(*(z + 1 for z in row.finding.slices)) for row in rows)],
        "side": ["", *(row.side for row in rows)],
        "volume_ml": [np.nan, *(round(row.finding.volume_ml, 2) for row in rows)],
        "area_mm2": [np.nan, *(round(row.finding.area_mm2, 1) for row in rows)],
        "mean_hu": [np.nan, *(round(row.finding.mean_hu, 1) for row in rows)],
        "residual_hu": [np.nan, *(round(row.finding.mean_residual_hu, 1) for row in rows)],
        "sign": ["", *(row.finding.sign for row in rows)],
        "scales_mm": ["", *(" ".join(f"{s:g}" for s in row.finding.scales) for row in rows)],
        "score": [np.nan, *(round(row.score, 3) for row in rows)],
        "verdict": ["", *(row.word for row in rows)],
        "reason": ["", *((row.verdict and row.verdict.reason) or "" for row in rows)],
        "note": ["", *((row.verdict and row.verdict.note) or "" for row in rows)],
    }
    return columns


def key_voxel(labels: Array | None, entry: Entry) -> tuple[int, int, int]:
    """Index ``(z, y, x)`` of the middle of a region where its area is largest.

    Where its labels are not there, because the layer was removed, of the middle of its box.
    """
    z0, y0, x0, z1, y1, x1 = entry.finding.bbox
    box = np.zeros(0) if labels is None else np.asarray(labels[z0:z1, y0:y1, x0:x1]) == entry.label
    if not box.any():
        return (z0 + z1) // 2, (y0 + y1) // 2, (x0 + x1) // 2
    z = int(box.sum(axis=(1, 2)).argmax())
    y, x = np.argwhere(box[z]).mean(axis=0)
    return z0 + z, round(y0 + y), round(x0 + x)


def with_drawn(detection: Detection, drawn: list[Drawn]) -> Array:
    """Numbers of all regions ``(z, y, x)``, those that a reader drew after the detector's."""
    labels = slim_labels(detection)
    first = len(detection.findings) + len(detection.further) + 1
    kind = np.uint8 if first + len(drawn) <= _MOST_SLIM else np.uint16
    if isinstance(labels, np.ndarray):
        out = labels.astype(kind)
        for number, one in enumerate(drawn, start=first):
            out[one.region] = number
        return out

    def compute(z: int, rows: Index, columns: Index) -> npt.NDArray:
        plane = np.array(labels[z], kind)
        for number, one in enumerate(drawn, start=first):
            plane[one.region[z]] = number
        return plane[rows][:, columns]

    return Planes(labels.shape, kind, compute)
