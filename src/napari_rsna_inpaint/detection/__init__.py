"""Detectors and the two doors to them: ``detect`` and ``reinpaint``."""

from napari_rsna_inpaint.detection.result import Detection, Finding, SliceResult
from napari_rsna_inpaint.detection.region import Reinpainting, reinpaint
from napari_rsna_inpaint.detection.run import detect

__all__ = ["Detection", "Finding", "Reinpainting", "SliceResult", "detect", "reinpaint"]
