import imagecodecs
import numpy as np
import pytest

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.cases import Case, SliceLabel, SliceTruth
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES
from napari_rsna_inpaint.evaluate.truth import has_outlines, read_truth
from napari_rsna_inpaint.io.write import write_nifti
from napari_rsna_inpaint.label_table import UNKNOWN


@pytest.fixture(scope="module")
def volume():
    return head_phantom(shape=(4, 32, 32), spacing=(5.0, 6.0, 6.0)).volume


@pytest.fixture
def case(tmp_path, volume):
    slices = {name: SliceLabel(1, (0,) * 5, np.nan, "") for name in volume.slice_ids}
    return Case(1, "ich/s01", tmp_path, "P", slices)


def labels(*bleed: int) -> SliceTruth:
    subtypes = np.zeros((4, len(SUBTYPES)), np.int8)
    subtypes[np.array(bleed) == 1, SUBTYPES.index("subdural")] = 1
    return SliceTruth(np.array(bleed, np.int8), subtypes)


def test_a_nifti_mask_is_parted_into_lesions(tmp_path, volume, case):
    mask = np.zeros(volume.hu.shape, bool)
    mask[1:3, 4:8, 4:9] = True
    mask[0, 20:22, 20:22] = True
    (tmp_path / "ich").mkdir()
    write_nifti(tmp_path / "ich" / "s01.nii.gz", mask, volume)
    assert has_outlines(tmp_path, case)
    truth = read_truth(tmp_path, case, volume, labels(UNKNOWN, 1, 1, 0))
    np.testing.assert_array_equal(truth.lesions > 0, mask)
    # 40 and 4 voxels of 5 x 6 x 6 mm
    assert sorted(truth.volumes_ml) == pytest.approx([0.72, 7.2])
    assert sorted(truth.subtypes) == ["mixed", "subdural"]
    assert truth.known.all()


def test_images_are_of_slices_and_the_others_follow_their_label(tmp_path, volume, case):
    image = np.zeros((32, 32), np.uint8)
    image[2:5, 20:30] = 255
    (tmp_path / f"{volume.slice_ids[2]}.png").write_bytes(imagecodecs.png_encode(image))
    truth = read_truth(tmp_path, case, volume, labels(0, 1, 1, UNKNOWN))
    np.testing.assert_array_equal(truth.known, [True, False, True, False])
    np.testing.assert_array_equal(truth.lesions[2] > 0, image > 0)


def test_a_scan_without_bleed_has_an_empty_truth(volume, case):
    truth = read_truth(None, case, volume, labels(0, 0, 0, 0))
    assert len(truth.volumes_ml) == 0
    assert truth.known.all()
    assert read_truth(None, case, volume, labels(0, 1, 0, 0)) is None
    assert not has_outlines(None, case)


@pytest.mark.parametrize("damage", ["size", "text"])
def test_a_damaged_image_is_refused(tmp_path, volume, case, damage):
    path = tmp_path / f"{volume.slice_ids[0]}.png"
    content = imagecodecs.png_encode(np.zeros((16, 32), np.uint8))
    path.write_bytes(content if damage == "size" else b"no image")
    with pytest.raises(InputRefused, match=path.name):
        read_truth(tmp_path, case, volume, labels(1, 1, 1, 1))
