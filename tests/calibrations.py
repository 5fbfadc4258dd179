"""Calibrations for tests, made by hand."""

from napari_rsna_inpaint.detection.calibration import Calibration
from napari_rsna_inpaint.detection.candidates import FEATURES
from napari_rsna_inpaint.detection.norms import DISTANCES_MM, Normal, Norms
from napari_rsna_inpaint.detection.rescorer import Rescorer


def plain_calibration(**changes):
    """Norms that are the same at every depth; heat that follows residual and HU alone."""

    def normal(median: float, upper: float, lower: float) -> Normal:
        n = len(DISTANCES_MM)
        return Normal(median=(median,) * n, upper=(upper,) * n, lower=(lower,) * n)

    n = len(FEATURES)
    hu = normal(33.0, 4.0, 8.0)
    calibration = Calibration(
        protocol="fast",
        norms=Norms(noise_hu=3.0, residual=normal(0.0, 5.0, 5.0), hu=hu, relative_hu=hu),
        rescorer=Rescorer(
            mean=(0.0,) * n,
            spread=(1.0,) * n,
            linear=tuple(float(name in {"z_residual", "z_hu"}) for name in FEATURES),
            quadratic=(0.0,) * n,
            intercept=-3.0,
        ),
        finding_heat=0.5,
        false_findings=0.5,
        healthy_scan_scores=tuple(i / 20 for i in range(1, 11)),
        n_scans=10,
        n_slices=100,
    )
    return calibration.model_copy(update=changes)
