"""CT series in, results out."""

from napari_rsna_inpaint.io.door import inspect, read

__all__ = ["inspect", "read"]
