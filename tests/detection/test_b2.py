import numpy as np
import pytest
from calibrations import plain_calibration

from napari_rsna_inpaint import detect
from napari_rsna_inpaint.brain import packed_brain_mask
from napari_rsna_inpaint.detection.calibration import save_calibration
from napari_rsna_inpaint.detection.filters import median_hu
from napari_rsna_inpaint.detection.norms import DISTANCES_MM, Normal
from napari_rsna_inpaint.detection.registry import make_detector
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom


@pytest.fixture(scope="module")
def phantom():
    shape, spacing = (4, 80, 80), (5.0, 2.5, 2.5)
    return head_phantom(seed=3, bleed="intraparenchymal", shape=shape, spacing=spacing)


@pytest.fixture
def model(tiny_model, tmp_path):
    """Healthy HU rise from 20 at bone by 1 HU a mm."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    calibration = plain_calibration()
    n = len(DISTANCES_MM)
    hu = Normal(median=tuple(20 + mm for mm in DISTANCES_MM), upper=(4.0,) * n, lower=(4.0,) * n)
    norms = calibration.norms.model_copy(update={"hu": hu})
    save_calibration(folder, "grid", calibration.model_copy(update={"norms": norms}))
    return folder


def test_the_residual_is_the_distance_to_healthy_hu(phantom, model):
    save_calibration(model, "b2", plain_calibration())
    detector = make_detector("b2", model=model)
    mask = packed_brain_mask(phantom.volume)
    scan = Scan(
        phantom.volume, mask, detector.grid(phantom.volume, mask.outline()), detector.pixel_mm
    )
    steps = []
    z = scan.with_brain[1]
    (scores,) = detector.run(scan, indices=[z], seed=0, on_step=lambda *step: steps.append(step))
    assert steps == [(1, 1)]
    brain, distance = scan.brain(z), scan.bone_distance(z)
    inner = brain & (distance > DISTANCES_MM[0]) & (distance < DISTANCES_MM[-1])
    expected = median_hu(scan.context(z).image, brain, detector.pixel_mm) - (20 + distance)
    np.testing.assert_allclose(scores.residual[inner], expected[inner], atol=1e-3)
    assert not scores.residual[~brain].any()
    with pytest.raises(Cancelled):
        list(detector.run(scan, indices=[z], seed=0, cancelled=lambda: True))


def test_it_needs_a_calibration_of_its_own_and_that_of_the_grid(phantom, model, tmp_path):
    with pytest.raises(InputRefused, match="not calibrated for the detector 'b2'"):
        detect(phantom.volume, "b2", model=model)
    save_calibration(model, "b2", plain_calibration())
    found = detect(phantom.volume, "b2", model=model)
    np.testing.assert_allclose(found.inpainted + found.residual, phantom.volume.hu, atol=1e-3)
    assert found.squares == []
    (model / "calibration.json").unlink()
    with pytest.raises(InputRefused, match="not calibrated for the detector 'grid'"):
        make_detector("b2", model=model)
