"""Detectors, calibration, heatmap and findings (``run.detect``, ``region.reinpaint``)."""
