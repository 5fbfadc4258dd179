import numpy as np
import pytest
from calibrations import plain_calibration
from slice_models import PIXEL_MM, shaken

from napari_rsna_inpaint.brain import packed_brain_mask
from napari_rsna_inpaint.detection.calibration import save_calibration
from napari_rsna_inpaint.detection.registry import make_detector
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.anoremove import AnoRemoveModelConfig
from napari_rsna_inpaint.diffusion.model_folder import save_model
from napari_rsna_inpaint.diffusion.unet import PatchUNet, UNetConfig
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.evaluate.phantom import head_phantom


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "anoremove"
    network = UNetConfig(in_channels=5, widths=(8, 16), groups=4, time_channels=16)
    config = AnoRemoveModelConfig(network=network, pixel_mm=PIXEL_MM)
    save_model(folder, shaken(PatchUNet(network)), config)
    save_calibration(folder, "anoremove", plain_calibration())
    return folder


@pytest.fixture(scope="module")
def volume():
    shape, spacing = (6, 80, 80), (5.0, 2.5, 2.5)
    return head_phantom(seed=3, bleed="intraparenchymal", shape=shape, spacing=spacing).volume


def make(model, volume, **parameters):
    detector = make_detector("anoremove", "fast", parameters, model=model, device="cpu")
    mask = packed_brain_mask(volume)
    return detector, Scan(volume, mask, detector.grid(volume, mask.outline()), detector.pixel_mm)


def residuals(detector, scan, indices, **options):
    return {one.index: one.residual for one in detector.run(scan, indices=indices, **options)}


@pytest.mark.parametrize(
    "parameters", [{}, {"steps": 3, "samples": 2}], ids=["one pass", "several steps"]
)
def test_a_slice_depends_on_the_seed_but_not_on_the_others(model, volume, parameters):
    detector, scan = make(model, volume, **parameters)
    steps = []
    together = residuals(
        detector, scan, scan.with_brain, seed=1, on_step=lambda *step: steps.append(step)
    )
    total = detector.evaluations() * len(scan.with_brain)
    assert steps[-1] == (total, total)
    alone = residuals(detector, scan, scan.with_brain[::-2], seed=1)
    for z, residual in alone.items():
        np.testing.assert_array_equal(residual, together[z])
        assert residual.any()
        assert not residual[~scan.brain(z)].any()
    other = residuals(detector, scan, scan.with_brain[:1], seed=2)
    (z,) = other
    assert np.abs(other[z] - together[z]).max() > 0


def test_it_stops_when_asked(model, volume):
    detector, scan = make(model, volume)
    with pytest.raises(Cancelled):
        residuals(detector, scan, scan.with_brain, seed=0, cancelled=lambda: True)
