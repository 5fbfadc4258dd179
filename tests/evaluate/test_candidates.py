import numpy as np
import pytest

from napari_rsna_inpaint.evaluate.candidates import Candidates, components, from_map, match

SHAPE = (4, 40, 40)


def box(*sides: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def candidates(*regions: tuple[np.ndarray, float], bright: bool = True) -> Candidates:
    labels = np.zeros(SHAPE, np.uint16)
    for number, (mask, _) in enumerate(regions, start=1):
        labels[mask] = number
    scores = np.array([score for _, score in regions])
    return Candidates(labels, scores, np.full(len(regions), bright))


def test_a_lesion_is_hit_by_a_tenth_of_the_smaller():
    lesion, n = components(box((0, 2), (0, 10), (0, 10)))
    known = np.ones(4, bool)
    enough = candidates((box((0, 1), (0, 1), (0, 10)) | box((0, 1), (20, 29), (0, 10)), 3.0))
    scores, false = match(enough, lesion, known, n)
    assert (list(scores), list(false)) == ([3.0], [])
    # 9 of 100 shared pixels
    little = candidates((box((0, 1), (0, 1), (0, 9)) | box((0, 1), (20, 30), (0, 10)), 3.0))
    scores, false = match(little, lesion, known, n)
    assert (list(scores), list(false)) == ([-np.inf], [3.0])


def test_a_second_hit_is_not_false_and_one_candidate_may_hit_two():
    lesions, n = components(box((0, 1), (0, 5), (0, 5)) | box((0, 1), (20, 25), (0, 5)))
    regions = (
        (box((0, 1), (0, 2), (0, 5)), 1.0),
        (box((0, 1), (3, 5), (0, 5)), 2.0),
        (box((0, 1), (30, 35), (30, 35)), 5.0),
    )
    scores, false = match(candidates(*regions), lesions, np.ones(4, bool), n)
    assert list(scores) == [2.0, -np.inf]
    assert list(false) == [5.0]
    scores, false = match(
        candidates((box((0, 1), (0, 25), (0, 5)), 4.0)), lesions, np.ones(4, bool), n
    )
    assert list(scores) == [4.0, 4.0]
    assert len(false) == 0


def test_dark_findings_and_unknown_slices_do_not_count():
    mask = box((0, 2), (0, 5), (0, 5))
    lesion, n = components(mask)
    scores, false = match(candidates((mask, 3.0), bright=False), lesion, np.ones(4, bool), n)
    assert (list(scores), list(false)) == ([-np.inf], [])
    known = np.array([False, False, True, True])
    _, false = match(candidates((mask, 3.0)), np.zeros(SHAPE, np.int32), known, 0)
    assert len(false) == 0


def test_diagonal_neighbours_belong_together_across_slices():
    _, n = components(box((0, 1), (0, 1), (0, 1)) | box((1, 2), (1, 2), (1, 2)))
    assert n == 1


def test_regions_of_a_map_have_enough_area_and_a_score():
    values = np.zeros(SHAPE, np.float32)
    values[box((1, 3), (0, 10), (0, 10))] = 5.0
    values[box((0, 1), (30, 32), (30, 32))] = 50.0
    found = from_map(values, extent=2.5, zero=1.0, pixel_mm2=0.25)
    assert found.scores == pytest.approx([(5 - 1) * np.sqrt(25.0)])
    np.testing.assert_array_equal(found.drawn(), box((1, 3), (0, 10), (0, 10)))
    np.testing.assert_array_equal(np.isfinite(found.best_by_slice()), [False, True, True, False])
    assert len(from_map(values, 60.0, 0.0, 1.0).scores) == 0
