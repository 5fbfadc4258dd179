import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_rsna_inpaint import detect
from napari_rsna_inpaint.detection.files import load_detection, write_detection
from napari_rsna_inpaint.detection.published_rule import (
    APPLICATION,
    BATCH_SCRIPT,
    SIZES_MM,
    VALID_SHARE,
)
from napari_rsna_inpaint.detection.square_metrics import SQUARE, SQUARE_METRICS, square_metrics
from napari_rsna_inpaint.evaluate.phantom import head_phantom

SIDES = (8, 16, 32, 64)
BLEED = {
    "mean_difference": 20.0,
    "earth_mover": 20.0,
    "std_difference": 5.0,
    "mse": 500.0,
    "histogram_difference": 0.5,
    "outliers": 100.0,
}


def square(scale: int = 1, y: int = 0, x: int = 0, covered: float = 1.0, **measures):
    row = np.zeros(1, SQUARE)
    row["scale"], row["side"], row["y"], row["x"] = scale, SIDES[scale], y, x
    row["covered"] = covered
    for name, value in {**BLEED, **measures}.items():
        row[name] = value
    return row


@pytest.mark.parametrize("rule", [APPLICATION, BATCH_SCRIPT])
@pytest.mark.parametrize("scale", range(4))
def test_a_square_is_flagged_if_all_six_tests_pass(rule, scale):
    assert set(rule.thresholds) == set(SQUARE_METRICS)
    at = {name: values[scale] for name, values in rule.thresholds.items()}
    assert rule.flagged(square(scale, **at), SIZES_MM).all()
    for name, value in at.items():
        assert not rule.flagged(square(scale, **{**at, name: value - 0.01}), SIZES_MM).any(), name


def test_thresholds_are_the_published_ones():
    assert APPLICATION.thresholds["earth_mover"] == (4.5, 4.0, 4.0, 3.0)
    assert APPLICATION.thresholds["std_difference"] == (2.0, 2.0, 1.5, -20.0)
    assert APPLICATION.thresholds["mse"] == (60.0, 50.0, 30.0, 30.0)
    assert set(APPLICATION.thresholds["mean_difference"]) == {-5.0}
    assert BATCH_SCRIPT.thresholds["earth_mover"] == (7.5, 8.0, 6.0, 4.0)
    assert BATCH_SCRIPT.thresholds["std_difference"] == (3.0, 2.5, 2.0, 1.5)
    assert BATCH_SCRIPT.thresholds["mse"] == (100.0, 75.0, 50.0, 50.0)
    assert set(BATCH_SCRIPT.thresholds["mean_difference"]) == {3.0}


@pytest.mark.parametrize("scale", range(4))
def test_squares_with_too_little_brain_are_no_squares(scale):
    share = np.float32(VALID_SHARE[scale])
    assert not APPLICATION.flagged(square(scale, covered=share), SIZES_MM).any()
    assert APPLICATION.flagged(square(scale, covered=share + 0.01), SIZES_MM).all()


@pytest.mark.parametrize(
    ("size_mm", "like"), [(7.2, 0), (8.0, 0), (16.0, 1), (32.0, 2), (64.0, 3), (200.0, 3)]
)
def test_another_size_takes_the_thresholds_of_the_nearest_one(size_mm, like):
    lowest = APPLICATION.thresholds["mse"][like]
    share = VALID_SHARE[like] + 0.01
    for mse, flagged in ((lowest, True), (lowest - 0.1, False)):
        row = square(0, covered=share, mse=mse)
        assert bool(APPLICATION.flagged(row, [size_mm])[0]) == flagged


def test_heat_is_the_share_of_flagged_squares_over_a_pixel():
    brain = np.ones((40, 40), bool)
    brain[:, 30:] = False
    squares = np.concatenate(
        [
            square(1, 8, 8),
            square(1, 16, 16, mse=0.0),
            square(1, 20, 20, covered=0.1),  # no valid square: counts nowhere
            square(1, -8, 24),  # cut by the border
        ]
    )
    heat = APPLICATION.heat(squares, SIZES_MM, brain)
    assert heat.dtype == np.float32
    assert (heat[8:16, 8:24] == 1).all()
    assert (heat[16:24, 16:24] == 0.5).all()
    assert (heat[24:32, 16:30] == 0).all()
    assert (heat[:8, 24:30] == 1).all()
    assert not heat[:, 30:].any()
    assert not APPLICATION.heat(squares[:0], SIZES_MM, brain).any()


@given(st.integers(0, 2**32 - 1))
def test_heat_equals_counting_one_by_one(seed):
    rng = np.random.default_rng(seed)
    shape = (30, 26)
    brain = rng.random(shape) < 0.8
    rows = [
        square(s, int(rng.integers(-9, 35)), int(rng.integers(-9, 30)), mse=rng.uniform(0, 120))
        for s in rng.integers(0, 2, 12)
    ]
    squares = np.concatenate(rows)
    hits, count = np.zeros(shape), np.zeros(shape)
    for row, hit in zip(squares, APPLICATION.flagged(squares, SIZES_MM), strict=True):
        y, x, side = int(row["y"]), int(row["x"]), int(row["side"])
        part = np.s_[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
        hits[part] += hit
        count[part] += 1
    expected = np.where(brain, hits / np.maximum(count, 1), 0)
    np.testing.assert_allclose(APPLICATION.heat(squares, SIZES_MM, brain), expected, rtol=1e-6)


def test_dense_blood_is_flagged():
    """Published histograms end at 80 HU and lose their last bin: such a square was missed."""
    original, completed = np.full(256, 35.0), np.full(256, 35.0)
    original[:128] = 95.0
    found = square_metrics(original, completed, np.zeros(256, int))
    measures = {name: float(values[0]) for name, values in found.items()}
    assert measures["outliers"] == 128
    for rule in (APPLICATION, BATCH_SCRIPT):
        assert rule.flagged(square(1, **measures), SIZES_MM).all()


@pytest.fixture(scope="module")
def volume():
    shape, spacing = (4, 100, 100), (5.0, 2.0, 2.0)
    return head_phantom(seed=3, bleed="intraparenchymal", shape=shape, spacing=spacing).volume


def test_the_decision_changes_heat_alone(volume, tiny_model):
    options = {"model": tiny_model, "protocol": "interactive", "device": "cpu"}
    judged = detect(volume, **options)
    published = detect(volume, parameters={"decision": "published"}, **options)
    np.testing.assert_array_equal(published.residual, judged.residual)
    assert published.squares == judged.squares
    heat = published.heatmap[published.brain_mask]
    assert heat.min() >= 0
    assert heat.max() == 1
    assert published.run["scan"]["finding_heat"] == 0.5
    assert published.run["scan"]["threshold"] is None
    assert published.run["calibration"] is None
    assert judged.run["calibration"] == "fast"
    batch = detect(volume, parameters={"decision": "published_batch"}, **options)
    assert batch.heatmap.sum() < published.heatmap.sum()


def test_results_stored_before_the_sixth_measure_are_read(volume, tiny_model, tmp_path):
    found = detect(volume, model=tiny_model, protocol="interactive", device="cpu")
    write_detection(tmp_path, found, volume)
    assert load_detection(tmp_path).squares == found.squares
    path = tmp_path / "squares.csv"
    with path.open() as file:
        rows = [[v for k, v in row.items() if k != "outliers"] for row in csv.DictReader(file)]
        file.seek(0)
        header = [name for name in next(csv.reader(file)) if name != "outliers"]
    with path.open("w") as file:
        csv.writer(file).writerows([header, *rows])
    old = load_detection(tmp_path).squares
    assert len(old) == len(found.squares)
    assert np.isnan(old[0].outliers)
    assert old[0].mse == found.squares[0].mse
