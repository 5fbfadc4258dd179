import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint.evaluate.bootstrap import difference, interval, patient_weights, resample
from napari_rsna_inpaint.evaluate.metrics import BINS, Sweep, dice, froc, histogram, pro


@st.composite
def scored(draw):
    """Scores with ties, and truth with both classes."""
    n = draw(st.integers(2, 60))
    scores = draw(st.lists(st.integers(-5, 12), min_size=n, max_size=n))
    truth = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    truth[0], truth[1] = True, False
    return np.array(scores, float), np.array(truth)


@st.composite
def detections(draw):
    """Best scores of lesions (some missed) and scores of false findings."""
    score = st.integers(1, 9).map(float)
    lesions = draw(st.lists(st.one_of(st.just(-np.inf), score), min_size=1, max_size=12))
    return np.array(lesions), np.array(draw(st.lists(score, max_size=20)))


@given(scored())
@settings(deadline=None, max_examples=40)
def test_auroc_and_average_precision_are_those_of_scikit_learn(case):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")
    scores, truth = case
    sweep = Sweep.of(scores, truth)
    assert sweep.auroc() == pytest.approx(sklearn.roc_auc_score(truth, scores))
    expected = sklearn.average_precision_score(truth, scores)
    assert sweep.average_precision() == pytest.approx(expected)


def test_weights_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the reference")
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=300).round(1), rng.random(300) < 0.3
    weights = rng.integers(0, 4, (5, 300))
    sweep = Sweep.of(scores, truth, weights)
    for row, auroc, precision in zip(
        weights, sweep.auroc(), sweep.average_precision(), strict=True
    ):
        assert auroc == pytest.approx(sklearn.roc_auc_score(truth, scores, sample_weight=row))
        expected = sklearn.average_precision_score(truth, scores, sample_weight=row)
        assert precision == pytest.approx(expected)


@given(scored(), st.floats(0.1, 5), st.floats(-10, 10))
@settings(deadline=None, max_examples=40)
def test_auroc_only_sees_the_order(case, gain, shift):
    scores, truth = case
    plain = Sweep.of(scores, truth).auroc()
    assert Sweep.of(np.exp(gain * scores / 5) + shift, truth).auroc() == pytest.approx(plain)
    assert Sweep.of(-scores, truth).auroc() == pytest.approx(1 - plain)


@given(scored(), st.floats(-6, 13))
@settings(deadline=None, max_examples=40)
def test_ceil_dice_is_the_best_of_all_thresholds(case, threshold):
    scores, truth = case
    ceiling = Sweep.of(scores, truth).ceil_dice()
    drawn = scores >= threshold
    assert ceiling >= dice((drawn & truth).sum(), drawn.sum(), truth.sum()) - 1e-12
    reached = [
        dice(((scores >= t) & truth).sum(), (scores >= t).sum(), truth.sum()) for t in set(scores)
    ]
    assert ceiling == pytest.approx(max(reached))


@given(scored())
@settings(deadline=None, max_examples=40)
def test_histograms_lose_nothing_that_bins_can_tell_apart(case):
    scores, truth = case
    above = np.maximum(scores, 0)
    sweep = Sweep.of_histograms(histogram(scores[truth], 20.0), histogram(scores[~truth], 20.0), 20)
    exact = Sweep.of(above, truth)
    assert sweep.auroc() == pytest.approx(exact.auroc())
    assert sweep.average_precision() == pytest.approx(exact.average_precision())
    assert sweep.ceil_dice() == pytest.approx(exact.ceil_dice())
    assert histogram(scores, 20.0).sum() == len(scores)
    assert len(sweep.thresholds) == BINS


def test_measures_without_one_class_do_not_exist():
    alone = Sweep.of([1.0, 2.0], [False, False])
    assert np.isnan([alone.auroc(), alone.average_precision(), alone.ceil_dice()]).all()
    empty = Sweep.of([], [])
    assert np.isnan(empty.auroc())
    assert np.isnan(empty.sensitivity_at(1.0))


@given(detections(), st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_froc_rises_with_the_false_findings_allowed(case, n_scans):
    lesions, false = case
    curve = froc(lesions, false, n_scans)
    rates = (0, 0.125, 0.5, 1, 2, 8, 100)
    values = [float(curve.sensitivity_at(rate)) for rate in rates]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(np.isfinite(lesions).mean())
    for rate, value in zip(rates, values, strict=True):
        threshold = curve.threshold_at(rate)
        assert (false >= threshold).sum() <= rate * n_scans
        assert value == pytest.approx((lesions >= threshold).mean())


def test_froc_counts_the_lowest_threshold():
    """Two lesions, both found: other implementations stop at one."""
    curve = froc([3.0, 1.0], [2.0], 1)
    assert curve.sensitivity_at(0.5) == 0.5
    assert curve.sensitivity_at(1) == 1.0


@given(detections(), st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_froc_is_that_of_picai_eval(case, n_scans):
    picai = pytest.importorskip("picai_eval.metrics", reason="picai-eval is an oracle for FROC")
    lesions = np.append(case[0], -np.inf)  # it is right only where a lesion was missed
    curve = froc(lesions, case[1], n_scans)
    results = {0: [(1, 0.0 if np.isinf(s) else s, 1.0) for s in lesions]}
    results[0] += [(0, s, 0.0) for s in case[1]]
    results |= {scan: [] for scan in range(1, n_scans)}
    theirs = picai.Metrics(results)
    for rate in (0.125, 0.5, 1, 2, 8):
        below = theirs.lesion_FPR <= rate
        expected = theirs.lesion_TPR[below][-1] if below.any() else 0.0
        assert curve.sensitivity_at(rate) == pytest.approx(expected)


@given(detections(), st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_froc_is_that_of_monai(case, n_scans):
    monai = pytest.importorskip("monai.metrics.froc", reason="MONAI is an oracle for FROC")
    lesions = np.append(case[0], -np.inf)
    curve = froc(lesions, case[1], n_scans)
    # a missed lesion has probability 0 there; it drops the lowest one
    found = np.where(np.isinf(lesions), 0, lesions)
    rates, sensitivities = monai.compute_froc_curve_data(case[1], found, len(lesions), n_scans)
    np.testing.assert_allclose(rates[::-1], np.append(0, curve.false / n_scans))
    np.testing.assert_allclose(sensitivities[::-1], np.append(0, curve.true / curve.positives))


def test_pro_of_a_perfect_and_of_a_useless_map():
    false = np.linspace(0, 100, 101)
    assert pro(np.ones(101), false, np.array(100.0)) == pytest.approx(1, abs=0.02)
    # as much of every region as of healthy tissue: the diagonal up to 0.3
    assert pro(false / 100, false, np.array(100.0)) == pytest.approx(0.15)


def test_bootstrap_of_one_patient_has_no_width():
    weights = patient_weights(1, 50, seed=3)
    value, spread = resample(lambda w: {"sum": w @ np.array([7.0])}, weights)
    assert interval(value["sum"], spread["sum"]) == {
        "value": 7.0,
        "low": 7.0,
        "high": 7.0,
        "resamples": 50,
    }


def test_bootstrap_draws_patients_and_is_seeded():
    values = np.arange(20.0)
    weights = patient_weights(20, 2000, seed=1)
    assert (weights.sum(1) == 20).all()
    np.testing.assert_array_equal(weights, patient_weights(20, 2000, seed=1))
    value, spread = resample(lambda w: {"mean": w @ values / 20}, weights)
    found = interval(value["mean"], spread["mean"])
    error = values.std() / np.sqrt(20)
    assert found["low"] == pytest.approx(9.5 - 1.96 * error, abs=0.4)
    assert found["high"] == pytest.approx(9.5 + 1.96 * error, abs=0.4)


def test_differences_are_paired():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=1000)
    found = difference((1.5, noise + 1.5), (1.0, noise + 1.0))
    assert found["low"] == pytest.approx(0.5)
    assert found["high"] == pytest.approx(0.5)
    assert difference((np.inf, noise), (np.inf, noise))["value"] is not None
    some = interval(1.0, np.array([np.nan, 1.0, 2.0, np.inf]))
    assert some["resamples"] == 3
    assert some["high"] == np.inf
