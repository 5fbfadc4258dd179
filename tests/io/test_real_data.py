import numpy as np
import pytest
from dicom_head import codes, judge

from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused
from napari_rsna_inpaint.io import read

pytestmark = pytest.mark.data

# What each hazard must lead to: codes of the notes, or the question, or the refusal.
DICOM_HAZARDS = {
    "00_clean": [],
    "02_dup_slice_identical": ["duplicate-slices"],
    "04_two_spacings": ["uneven-spacing"],
    "06_instance_shuffled": [],
    "08_two_phases_one_series": (ChoiceNeeded, "phases"),
    "10_rescale_missing": (ChoiceNeeded, "rescale-missing"),
    "12_truncated_pixels_one": ["slice-refused", "missing-slices"],
    "14_monochrome1": [],
    "16_no_IPP": ["no-position"],
    "18_gantry_tilt20": ["gantry-tilt"],
    "20_pixelspacing_differs": (ChoiceNeeded, "mixed-geometry"),
    "22_rsna_wrap4096": ["rsna-wrap-4096"],
    "24_single_slice": [],
}
NIFTI_HAZARDS = {
    "00_clean.nii.gz": [],
    "02_codes0.nii.gz": (ChoiceNeeded, "orientation-unknown"),
    "04_sclzero.nii": ["scaling-ignored"],
    "06_4d.nii.gz": (ChoiceNeeded, "several-volumes"),
    "07_trunc.nii.gz": (InputRefused, "damaged"),
    "09_gzcorrupt.nii.gz": (InputRefused, "damaged"),
    "11_hugedim.nii": (InputRefused, "dimensions"),
    "13_shear.nii.gz": ["sheared"],
    "15_uint8.nii.gz": (InputRefused, "not-hu"),
    "17_pixdim0.nii": ["bad-pixdim"],
}


def check(path, expected):
    if not path.exists():
        pytest.skip(f"{path.name} absent")
    result = judge(path)
    if isinstance(expected, tuple):
        assert isinstance(result, expected[0])
        assert result.code == expected[1]
        return None
    assert codes(result) == expected
    return result


@pytest.mark.parametrize("name", DICOM_HAZARDS)
def test_dicom_hazard(data_root, name):
    volume = check(data_root / "hazards" / name, DICOM_HAZARDS[name])
    if volume is None:
        return
    truth = read(data_root / "hazards" / "00_clean")
    # Every slice equals the true one whose distance along the normal fits best.
    for plane in volume.hu:
        assert any(np.array_equal(plane, other) for other in truth.hu)
    if len(volume.hu) == len(truth.hu):
        np.testing.assert_array_equal(volume.hu, truth.hu)


@pytest.mark.parametrize("name", NIFTI_HAZARDS)
def test_nifti_hazard(data_root, name):
    volume = check(data_root / "hazards" / "nifti" / name, NIFTI_HAZARDS[name])
    if volume is not None:
        truth = read(data_root / "hazards" / "nifti" / "00_clean.nii.gz")
        np.testing.assert_array_equal(volume.hu, truth.hu)


def test_ge_head_keeps_tilt_gaps_and_padding(data_root):
    volume = judge(data_root / "ge-head-tilt")
    assert codes(volume) == ["gantry-tilt", "uneven-spacing"]
    assert "18.5 degrees" in volume.notes[0].message
    path = np.linalg.norm(np.diff(volume.positions, axis=0), axis=1)
    assert {round(float(gap), 2) for gap in path} == {1.14, 4.22, 7.38}
    assert volume.hu.min() >= -1024
    assert volume.hu.dtype == np.int16


def test_jpeg_ls_copy_agrees_with_the_published_series(data_root):
    raw = read(data_root / "rsna-head-ct" / "raw" / "s46")
    copy = read(data_root / "rsna-head-ct" / "ich" / "s46")
    assert raw.slice_ids == copy.slice_ids
    assert raw.source_id == copy.source_id
    np.testing.assert_array_equal(raw.affine, copy.affine)
    head = copy.hu > -200
    np.testing.assert_array_equal(raw.hu[head], copy.hu[head])


def test_every_series_is_read_as_announced(data_root):
    folders = [
        path
        for group in ("no_ich", "ich", "unlabelled_pathology")
        for path in sorted((data_root / "rsna-head-ct" / group).glob("s*"))
    ]
    assert folders
    for folder in folders:
        volume = judge(folder)
        assert volume.hu.dtype == np.int16, folder.name
        assert (np.diff(volume.slice_z_mm) > 0).all(), folder.name
        assert np.median(volume.hu[volume.hu > -200]) < 200, folder.name
