import numpy as np
import pytest

from napari_rsna_inpaint.inpaint.boxes import box_holes, boxes

OFFSETS = ((0.0, 0.0), (0.5, 0.5))


@pytest.mark.parametrize("period", [2, 3])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_phases_of_a_tiling_hide_every_voxel_once(depth, period):
    holes = list(box_holes((8,), depth, ((0.0, 0.5),), period))
    count = sum(hole.mask((7, 40, 36), 0).astype(int) for hole in holes)
    assert len(holes) == period ** (3 if depth else 2)
    assert (count == 1).all()


def test_every_size_and_shift_hides_every_voxel():
    holes = list(box_holes((8, 16), 2, OFFSETS, 2))
    count = sum(hole.mask((5, 32, 32), 3).astype(int) for hole in holes)
    assert (count == 4).all()
    assert [hole.number for hole in holes] == list(range(len(holes)))


def test_a_part_of_a_volume_has_the_boxes_of_the_whole():
    hole = list(box_holes((8,), 3, OFFSETS, 2))[5]
    whole = hole.mask((20, 24, 24), 0)
    np.testing.assert_array_equal(whole[7:15], hole.mask((8, 24, 24), 7))


def test_sections_below_the_volume_go_on_with_the_boxes():
    whole = boxes((12, 8, 8), 4, 3, (0, 0), 2, (0, 0, 0), first=-6)
    np.testing.assert_array_equal(whole[6:], boxes((6, 8, 8), 4, 3, (0, 0), 2, (0, 0, 0)))
