"""The shipped model on real head CT."""

import json

import nibabel
import numpy as np
import pytest

from napari_rsna_inpaint import detect, read
from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.io.write import nifti_affine

pytestmark = pytest.mark.data


@pytest.mark.parametrize("series", ["raw/s46", "ich/s46"])
def test_a_large_haematoma_leads_the_list(data_root, tmp_path, series):
    """Right temporal haematoma, uncompressed and as JPEG-LS."""
    source = data_root / "rsna-head-ct" / series
    assert main(["detect", str(source), "-o", str(tmp_path), "--device", "cpu"]) == 0
    found = json.loads((tmp_path / "findings.json").read_text())["findings"]
    volume = read(source)
    mask = nibabel.load(tmp_path / "brain_mask.nii.gz")
    np.testing.assert_allclose(mask.affine, nifti_affine(volume))
    brain = np.asarray(mask.dataobj).transpose(2, 1, 0) > 0
    middle = volume.to_patient(np.argwhere(brain).mean(0))
    haematomas = [
        finding
        for finding in found[:3]
        if finding["sign"] == "hyper"
        and finding["volume_ml"] > 20
        and 45 < finding["mean_hu"] < 80
        and finding["centroid_mm"][0] < middle[0] - 15
    ]
    assert haematomas, found[:3]


def test_a_tilted_unevenly_spaced_head_keeps_its_grid(data_root):
    volume = read(data_root / "ge-head-tilt")
    assert {"gantry-tilt", "uneven-spacing"} <= {note.code for note in volume.notes}
    # a few slices: this is about geometry
    detection = detect(volume, device="cpu", slices=range(14, 17))
    assert detection.inpainted.shape == volume.hu.shape
    np.testing.assert_allclose(detection.residual, volume.hu - detection.inpainted, atol=1e-3)
    assert detection.brain_mask.any()
