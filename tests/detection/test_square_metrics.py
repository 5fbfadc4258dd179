from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import wasserstein_distance

from napari_rsna_inpaint.detection.square_metrics import (
    earth_mover,
    histogram_difference,
    square_metrics,
    square_table,
)
from napari_rsna_inpaint.inpaint.grid import grid_holes

HU_PAIRS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        *[arrays(np.float64, n, elements=st.floats(-100, 400, allow_subnormal=False))] * 2
    )
)
GRID = ((8, 16), ((0.0, 0.0), (0.5, 0.5)), 2)


@given(HU_PAIRS)
def test_earth_movers_distance_is_that_of_scipy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert earth_mover(*pair) == pytest.approx(wasserstein_distance(*pair), abs=1e-9)


def test_values_computed_by_hand() -> None:
    original = np.array([[30.0, 34.0], [90.0, 0.0]])
    completed = np.array([[31.0, 31.0], [33.0, 0.0]])
    hole = np.array([[True, True], [True, False]])
    metrics = square_metrics(original, completed, hole)
    assert metrics.mean_difference == pytest.approx((30 + 34 + 90 - 31 - 31 - 33) / 3)
    assert metrics.earth_mover == pytest.approx((1 + 3 + 57) / 3)
    assert metrics.mse == pytest.approx((1 + 9 + 57**2) / 3)
    assert metrics.std_difference == pytest.approx(np.std([30, 34, 90]) - np.std([31, 31, 33]))
    # The tail begins at 33, the ramp at 28: weights (hu - 28 + 1) / 5, at most 1.
    assert metrics.histogram_difference == pytest.approx((3 / 5 + 1 + 1 - 4 / 5 - 4 / 5 - 1) / 3)


def published_tail(original: np.ndarray, completed: np.ndarray) -> float:
    """The rule as published, on a histogram wide enough that its faults do not show."""
    edges = np.arange(0, 301)
    before, healthy = (np.histogram(part, edges)[0] for part in (original, completed))
    boundary = int(np.argmax(np.cumsum(healthy) >= 0.975 * healthy.sum()))
    start = boundary - 5
    bins = np.arange(start, 300)
    ramp = np.minimum(1, (bins - start + 1) / 5)
    return float((ramp * (before - healthy)[bins]).sum() / before.sum())


@pytest.mark.parametrize("seed", range(5))
def test_the_tail_follows_the_published_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    original = np.concatenate([rng.normal(60, 8, 200), rng.normal(35, 5, 300)])
    completed = rng.normal(34, 5, 500)
    expected = published_tail(original, completed)
    assert expected > 0.2
    assert histogram_difference(original, completed) == pytest.approx(expected)


def test_dense_blood_counts_fully_and_dark_squares_do_not_wrap() -> None:
    hole = np.ones((8, 8), bool)
    brain = np.full((8, 8), 35.0)
    at_80 = square_metrics(np.full((8, 8), 80.0), brain, hole)
    at_95 = square_metrics(np.full((8, 8), 95.0), brain, hole)
    assert at_95.earth_mover == pytest.approx(60)
    assert at_95.mse == pytest.approx(3600)
    assert at_80.histogram_difference == pytest.approx(0)  # all of both lie in the tail
    # The tail of a dark completion starts below 0 HU, where an index would wrap.
    dark = np.full((8, 8), 1.0)
    assert square_metrics(dark + 3, dark, hole).histogram_difference == pytest.approx(0)
    assert square_metrics(dark - 6, dark, hole).histogram_difference == pytest.approx(-1)


@given(HU_PAIRS)
def test_nothing_differs_from_itself_and_shares_stay_shares(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    hole = np.ones(pair[0].shape, bool)
    same = square_metrics(pair[0], pair[0], hole)
    assert np.allclose(list(vars(same).values()), 0)
    other = square_metrics(*pair, hole)
    assert -1 <= other.histogram_difference <= 1
    assert other.earth_mover >= abs(other.mean_difference) - 1e-9
    assert other.mse >= other.mean_difference**2 - 1e-6


def test_only_hidden_pixels_count() -> None:
    rng = np.random.default_rng(0)
    original, completed = rng.normal(35, 5, (2, 12, 12))
    hole = np.zeros((12, 12), bool)
    hole[2:6, 3:9] = True
    elsewhere = np.where(hole, original, 1000)
    assert square_metrics(original, completed, hole) == square_metrics(elsewhere, completed, hole)
    with pytest.raises(ValueError, match="no hidden pixel"):
        square_metrics(original, completed, hole & False)


def brain() -> np.ndarray:
    y, x = np.mgrid[:70, :60]
    return (y - 34) ** 2 / 28**2 + (x - 30) ** 2 / 24**2 < 1


def test_the_table_has_each_square_once_and_covers_the_brain() -> None:
    inside = brain()
    image = np.where(inside, 35.0, 1000.0)
    holes = list(grid_holes(inside, *GRID))
    rows = square_table(image, [(hole, image) for hole in holes], *GRID)
    keys = [(row.size, row.y, row.x) for row in rows]
    assert len(set(keys)) == len(keys)
    for size in GRID[0]:
        area = sum(row.covered * size**2 for row in rows if row.size == size)
        assert area == pytest.approx(len(GRID[1]) * inside.sum())
    for row in rows:
        inner = inside[max(row.y, 0) : row.y + row.size, max(row.x, 0) : row.x + row.size]
        assert row.covered == pytest.approx(inner.sum() / row.size**2)
        assert (row.y % row.size, row.x % row.size) in {(0, 0), (row.size // 2, row.size // 2)}


def test_the_table_finds_the_square_with_the_bleed_and_averages_samples() -> None:
    inside = brain()
    healthy = np.full(inside.shape, 35.0)
    image = healthy.copy()
    image[32:40, 24:32] = 65  # one square of 8 pixels
    pairs = [(hole, healthy + d) for hole in grid_holes(inside, *GRID) for d in (-2, 2)]
    rows = square_table(image, pairs, *GRID)
    best = max(rows, key=lambda row: row.metrics.mean_difference)
    assert (best.size, best.y, best.x, best.covered) == (8, 32, 24, 1.0)
    assert best.metrics.mean_difference == pytest.approx(30)
    assert best.metrics.mse == pytest.approx(900)
    far = [row for row in rows if row.y > 44]
    assert far
    assert all(row.metrics.mse == pytest.approx(0) for row in far)
