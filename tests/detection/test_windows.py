import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint.detection.windows import Windows, cut, window_map, windows_over

SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 70))


@st.composite
def boxes(draw):
    """A mask with brain in two opposite corners of its bounding box, side and stride."""
    shape = draw(SHAPES)
    ends = [sorted(draw(st.tuples(*[st.integers(0, n - 1)] * 2))) for n in shape]
    mask = np.zeros(shape, bool)
    mask[ends[0][0], ends[1][0]] = mask[ends[0][1], ends[1][1]] = True
    side = draw(st.integers(1, 40))
    return mask, side, draw(st.integers(1, side)), ends


@settings(deadline=None)
@given(boxes())
def test_windows_cover_the_bounding_box_to_its_edges_with_none_too_many(box):
    mask, side, stride, ends = box
    windows = windows_over(mask, side, stride)
    for starts, (first, last) in zip((windows.ys, windows.xs), ends, strict=True):
        assert set(np.diff(starts)) <= {stride}
        assert starts[0] <= first
        assert starts[-1] + side > last
        # one window fewer would not do
        length = last - first + 1
        assert len(starts) == 1 or side + (len(starts) - 2) * stride < length
        # centred: as much beyond one edge as beyond the other
        assert abs((first - starts[0]) - (starts[-1] + side - 1 - last)) <= 1


@settings(deadline=None)
@given(boxes())
def test_every_window_of_every_set_is_far_from_the_others_and_none_is_missing(box):
    mask, side, stride, _ = box
    windows = windows_over(mask, side, stride)
    distance = 2 * side
    seen, numbers = [], []
    for number, members in windows.sets(distance):
        numbers.append(number)
        seen += members
        # a full product of rows and columns, so the nearest differ in one of them only
        rows, columns = (sorted({place[axis] for place in members}) for axis in (0, 1))
        assert len(members) == len(rows) * len(columns)
        for places in (rows, columns):
            assert all(b - a >= distance / stride for a, b in itertools.pairwise(places))
    assert len(set(numbers)) == len(numbers)
    assert sorted(seen) == sorted(np.ndindex(windows.shape))


@pytest.mark.parametrize("length", [31, 32, 33, 64, 65, 95, 96, 97])
def test_divisible_and_other_lengths(length):
    mask = np.ones((length, 200), bool)
    windows = windows_over(mask, 32, 32)
    assert windows.shape == (-(-length // 32), 7)
    covered = np.zeros(mask.shape, bool)
    for place in np.ndindex(windows.shape):
        covered[windows.inside(place, mask.shape)] = True
    assert covered.all()


@settings(deadline=None)
@given(
    st.tuples(st.integers(28, 50), st.integers(28, 50)),
    st.integers(2, 13),
    st.data(),
)
def test_an_impulse_is_shown_where_it_is(shape, side, data):
    """One pixel stands out; the window values of which it is the largest show it in its place."""
    at = tuple(data.draw(st.integers(side, n - 1 - side)) for n in shape)
    image = np.zeros(shape, np.float32)
    image[at] = 1
    stride = data.draw(st.integers(1, max(1, side // 2)))
    windows = windows_over(np.ones(shape, bool), side, stride)
    values = np.zeros(windows.shape, np.float32)
    for place in np.ndindex(windows.shape):
        values[place] = image[windows.inside(place, shape)].max()
    shown = window_map(values, windows, shape)
    assert shown[at] == shown.max() == pytest.approx(1.0)
    weight = np.where(shown >= shown.max() - 1e-5, shown, 0).astype(np.float64)
    centre = [(np.indices(shape)[axis] * weight).sum() / weight.sum() for axis in (0, 1)]
    # it is known to the stride only; with every window looked at, to one pixel
    np.testing.assert_allclose(centre, at, atol=max(1.0, stride))


@given(st.integers(1, 21), st.integers(0, 30), st.integers(0, 30))
def test_the_value_of_one_window_lies_symmetrically_around_its_middle(side, y, x):
    windows = Windows(side, side, (y,), (x,))
    shown = window_map(np.full((1, 1), 7, np.float32), windows, (60, 60))
    rows, columns = np.nonzero(shown)
    assert (rows.min(), rows.max() + 1) == (y, y + side)
    assert (columns.min(), columns.max() + 1) == (x, x + side)
    assert (shown[shown != 0] == 7).all()


@given(boxes(), st.floats(-50, 50, width=32))
def test_equal_values_give_an_even_map(box, value):
    mask, side, stride, _ = box
    windows = windows_over(mask, side, stride)
    shown = window_map(np.full(windows.shape, value, np.float32), windows, mask.shape)
    np.testing.assert_allclose(shown[mask], value, rtol=1e-5)


def test_windows_that_were_left_out_count_for_nothing():
    windows = Windows(4, 4, (0, 4), (0,))
    shown = window_map(np.array([[3.0], [np.nan]], np.float32), windows, (8, 4))
    assert (shown[:4] == 3).all()
    assert (shown[4:] == 0).all()


@given(SHAPES, st.integers(-30, 80), st.integers(-30, 80), st.integers(1, 40))
def test_a_square_is_cut_out_as_from_a_padded_image(shape, y, x, side):
    image = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    padded = np.pad(image, 130, constant_values=-9)
    expected = padded[y + 130 : y + 130 + side, x + 130 : x + 130 + side]
    np.testing.assert_array_equal(cut(image, (y, x), side, -9), expected)


def test_windows_with_gaps_or_without_a_mask_are_refused():
    with pytest.raises(ValueError, match="stride"):
        windows_over(np.ones((9, 9), bool), 4, 5)
    with pytest.raises(ValueError, match="empty"):
        windows_over(np.zeros((9, 9), bool), 4, 4)
