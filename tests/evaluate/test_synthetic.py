import nibabel
import numpy as np
import pytest

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES
from napari_rsna_inpaint.evaluate.synthetic import synthetic_bleed


@pytest.fixture(scope="module")
def head():
    return head_phantom(seed=4, shape=(8, 128, 128), spacing=(5.0, 1.5, 1.5))


def test_a_bleed_is_the_same_for_the_same_name_number_and_seed(head):
    args = (head.volume, head.brain_mask, "s02")
    first = synthetic_bleed(*args, 0, seed=1)
    again = synthetic_bleed(*args, 0, seed=1)
    np.testing.assert_array_equal(first.volume.hu, again.volume.hu)
    other = synthetic_bleed(*args, 0, seed=2)
    assert (first.mask != other.mask).any()


def test_densities_take_turns_and_labels_follow_the_mask(head):
    found = [synthetic_bleed(head.volume, head.brain_mask, "s02", k, seed=0) for k in range(4)]
    assert [bleed.hu_set for bleed in found] == ["bhsd", "acute", "bhsd", "acute"]
    for bleed in found:
        np.testing.assert_array_equal(bleed.labels.bleed, bleed.mask.any((1, 2)))
        present = bleed.labels.subtypes.any(0)
        assert present.sum() == 1
        np.testing.assert_array_equal(bleed.labels.subtypes[:, present][:, 0], bleed.labels.bleed)
        unchanged = bleed.volume.hu == head.volume.hu
        assert unchanged[~head.brain_mask].all()
        assert not unchanged[bleed.mask].all()
    # the same subtype in both densities
    assert found[0].labels.subtypes.any(0).argmax() == found[1].labels.subtypes.any(0).argmax()


def test_real_outlines_shape_the_bleeds_within_the_brain(head, tmp_path):
    outline = np.zeros((20, 20, 3), np.uint8)
    outline[2:18, 5:9, :] = 1
    path = tmp_path / "outline.nii.gz"
    nibabel.save(nibabel.Nifti1Image(outline, np.diag([1.5, 1.5, 5.0, 1.0])), path)
    within = SUBTYPES.index("intraparenchymal")
    for name in "abcdefghij":
        args = (head.volume, head.brain_mask, name, 0)
        bleed = synthetic_bleed(*args, seed=0, shapes=[path])
        if bleed.labels.subtypes[:, within].any():
            break
    else:
        pytest.fail("no intraparenchymal bleed among ten")
    # 192 voxels of 11.25 mm3, less what rounding takes off the border
    assert 1.0 < bleed.mask.sum() * 11.25e-3 < 3.5


def test_a_scan_without_room_is_refused(head):
    nowhere = np.zeros_like(head.brain_mask)
    with pytest.raises(InputRefused, match="place"):
        synthetic_bleed(head.volume, nowhere, "s02", 0, seed=0)
