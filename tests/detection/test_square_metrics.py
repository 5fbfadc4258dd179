from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import wasserstein_distance

from napari_rsna_inpaint.detection.grid import hole_tiling, protocol_holes
from napari_rsna_inpaint.detection.square_metrics import measure_squares, square_metrics
from napari_rsna_inpaint.inpaint.protocols import DIAGONAL, GridConfig

HU_PAIRS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        *[arrays(np.float64, n, elements=st.floats(-100, 400, allow_subnormal=False))] * 2
    )
)
GRID = GridConfig(sizes_mm=(8.0, 16.0), offsets=DIAGONAL, period=2)


def one_square(original: np.ndarray, completed: np.ndarray) -> dict[str, float]:
    """Measures of one square of which all pixels are hidden."""
    square = np.zeros(original.size, int)
    found = square_metrics(original.ravel(), completed.ravel(), square)
    return {name: float(values[0]) for name, values in found.items()}


@given(HU_PAIRS)
def test_earth_movers_distance_is_that_of_scipy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    expected = wasserstein_distance(*pair)
    assert one_square(*pair)["earth_mover"] == pytest.approx(expected, abs=1e-9)


def test_values_computed_by_hand() -> None:
    metrics = one_square(np.array([30.0, 34.0, 90.0]), np.array([31.0, 31.0, 33.0]))
    assert metrics["mean_difference"] == pytest.approx((30 + 34 + 90 - 31 - 31 - 33) / 3)
    assert metrics["earth_mover"] == pytest.approx((1 + 3 + 57) / 3)
    assert metrics["mse"] == pytest.approx((1 + 9 + 57**2) / 3)
    assert metrics["std_difference"] == pytest.approx(np.std([30, 34, 90]) - np.std([31, 31, 33]))
    # The tail begins at 33, the ramp at 28: weights (hu - 28 + 1) / 5, at most 1.
    expected = (3 / 5 + 1 + 1 - 4 / 5 - 4 / 5 - 1) / 3
    assert metrics["histogram_difference"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_many_squares_are_measured_as_each_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    square = np.append(np.arange(9), rng.integers(0, 9, 300))
    original, completed = np.round(rng.normal(35, 20, (2, square.size)))
    together = square_metrics(original, completed, square)
    for number in range(9):
        alone = one_square(original[square == number], completed[square == number])
        for name, value in alone.items():
            assert together[name][number] == pytest.approx(value, abs=1e-9), name


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
    assert one_square(original, completed)["histogram_difference"] == pytest.approx(expected)


def test_dense_blood_counts_fully_and_dark_squares_do_not_wrap() -> None:
    brain = np.full(64, 35.0)
    at_80 = one_square(np.full(64, 80.0), brain)
    at_95 = one_square(np.full(64, 95.0), brain)
    assert at_95["earth_mover"] == pytest.approx(60)
    assert at_95["mse"] == pytest.approx(3600)
    # all of both lie in the tail
    assert at_80["histogram_difference"] == pytest.approx(0)
    # The tail of a dark completion starts below 0 HU, where an index would wrap.
    dark = np.full(64, 1.0)
    assert one_square(dark + 3, dark)["histogram_difference"] == pytest.approx(0)
    assert one_square(dark - 6, dark)["histogram_difference"] == pytest.approx(-1)


@given(HU_PAIRS)
def test_nothing_differs_from_itself_and_shares_stay_shares(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    assert np.allclose(list(one_square(pair[0], pair[0]).values()), 0)
    other = one_square(*pair)
    assert -1 <= other["histogram_difference"] <= 1
    assert other["earth_mover"] >= abs(other["mean_difference"]) - 1e-9
    assert other["mse"] >= other["mean_difference"] ** 2 - 1e-6


def brain() -> np.ndarray:
    y, x = np.mgrid[:70, :60]
    return (y - 34) ** 2 / 28**2 + (x - 30) ** 2 / 24**2 < 1


def table(inside: np.ndarray, image: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """All squares of one slice with pixels of 1 mm."""
    return np.concatenate(
        [
            measure_squares(
                hole, *hole_tiling(hole, GRID, 1.0), image[hole.mask], healthy[hole.mask]
            )
            for hole in protocol_holes(inside, GRID, 1.0)
        ]
    )


def test_the_table_has_each_square_once_and_covers_the_brain() -> None:
    inside = brain()
    image = np.where(inside, 35.0, 1000.0)
    rows = table(inside, image, image)
    keys = [(row["side"], row["y"], row["x"]) for row in rows]
    assert len(set(keys)) == len(keys)
    for scale, side in enumerate((8, 16)):
        one = rows[rows["scale"] == scale]
        assert (one["side"] == side).all()
        area = (one["covered"] * side**2).sum()
        assert area == pytest.approx(len(GRID.offsets) * inside.sum())
    for row in rows:
        side, y, x = int(row["side"]), int(row["y"]), int(row["x"])
        inner = inside[max(y, 0) : y + side, max(x, 0) : x + side]
        assert row["covered"] == pytest.approx(inner.sum() / side**2)
        assert (y % side, x % side) in {(0, 0), (side // 2, side // 2)}


def test_the_table_finds_the_square_with_the_bleed() -> None:
    inside = brain()
    healthy = np.full(inside.shape, 35.0)
    image = healthy.copy()
    image[32:40, 24:32] = 65  # one square of 8 pixels
    rows = table(inside, image, healthy)
    best = rows[rows["mean_difference"].argmax()]
    assert (best["side"], best["y"], best["x"], best["covered"]) == (8, 32, 24, 1.0)
    assert best["mean_difference"] == pytest.approx(30)
    assert best["mse"] == pytest.approx(900)
    far = rows[rows["y"] > 44]
    assert len(far)
    assert far["mse"] == pytest.approx(0)
