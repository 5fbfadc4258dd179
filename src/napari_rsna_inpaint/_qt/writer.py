"""Layers out: NIfTI on the geometry of the series they came from."""

from __future__ import annotations

from typing import Any

from napari_rsna_inpaint._qt.layers import metadata_volume
from napari_rsna_inpaint.errors import RsnaInpaintError
from napari_rsna_inpaint.volume import Array


def write_nifti_layer(path: str, data: Array, meta: dict[str, Any]) -> list[str]:
    """Write one image or labels layer.

    Parameters
    ----------
    path
        Ends in ``.nii`` or ``.nii.gz``.
    data
        ``(z, y, x)`` on the grid of the volume.
    meta
        State of the layer; its metadata holds the volume.

    Returns
    -------
    list of str
        The path.
    """
    from napari_rsna_inpaint.io.write import write_nifti

    volume = metadata_volume(meta.get("metadata", {}))
    if volume is None:
        raise RsnaInpaintError(
            f"Layer {meta.get('name', '')!r} does not come from a CT study opened with this "
            "plugin, so its position in the patient is unknown: use another writer."
        )
    if data.shape != volume.hu.shape:
        raise RsnaInpaintError(
            f"Layer {meta.get('name', '')!r} has shape {data.shape}, its CT has "
            f"{volume.hu.shape}: write it with another writer."
        )
    write_nifti(path, data, volume)
    return [path]
