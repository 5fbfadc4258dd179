"""CT series in, results out."""

from napari_rsna_inpaint.io.door import inspect, read
from napari_rsna_inpaint.io.write import write_csv, write_json, write_nifti

__all__ = ["inspect", "read", "write_csv", "write_json", "write_nifti"]
