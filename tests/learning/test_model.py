import numpy as np
import pytest
from annotations import PRIOR, SIGNAL, annotations, finding
from pydantic import ValidationError
from scipy.special import expit
from scipy.stats import spearmanr

from napari_rsna_inpaint.learning.annotated import Annotated, as_arrays, learnable, verdict_slices
from napari_rsna_inpaint.learning.features import FEATURES
from napari_rsna_inpaint.learning.model import MIN_SLICES, LearnedRescorer, fit, out_of_study


def fitted(rows) -> LearnedRescorer:
    model = fit(rows)
    assert model is not None
    return model


def test_nothing_is_learned_below_twenty_slices():
    rows = annotations(studies=5, per_study=2)
    assert verdict_slices(rows) == MIN_SLICES
    assert fit(rows) is not None
    assert fit(rows[:-1]) is None


def test_a_slice_counts_once_however_many_findings_it_has():
    rows = annotations(studies=2, per_study=4)
    assert verdict_slices(rows + rows) == verdict_slices(rows) == 16


def test_one_kind_of_verdict_teaches_nothing():
    rows = annotations()
    assert fit([row for row in rows if row.verdict == "accepted"]) is None
    assert fit([row for row in rows if row.verdict == "rejected"]) is None


def test_unsure_dark_and_unmeasured_findings_are_ignored():
    rows = annotations()
    ignored = [
        Annotated("other", finding("F1"), rows[0].features, "unsure"),
        Annotated("other", finding("F2", sign="hypo"), rows[0].features, "rejected"),
        Annotated("other", finding("F3"), None, "rejected"),
        Annotated("other", finding("F4"), [0.0], "rejected"),
    ]
    assert fit(rows + ignored) == fit(rows)


def test_missed_regions_count_as_slices_but_are_not_fitted():
    rows = annotations(studies=4, per_study=2)
    missed = Annotated("study0", finding("S1", slices=(10, 13)), None, "supplemented")
    assert fit(rows) is None
    model = fitted([*rows, missed])
    assert model.trained_on.slices == 20
    assert model.trained_on.accepted + model.trained_on.rejected == len(rows)


def test_the_order_of_the_rows_does_not_matter():
    rows = annotations(signal=1.0)
    shuffled = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    assert fit(shuffled) == fit(rows)


def test_useless_features_leave_the_ranking_nearly_as_it_is():
    rows = annotations(studies=200)
    features, _ = as_arrays(learnable(rows))
    few, some, many = (
        spearmanr(fitted(rows[:n]).score(features), features[:, PRIOR]).statistic
        for n in (12, 80, 800)
    )
    assert 0.6 < few < many
    assert 0.6 < some < many
    assert many > 0.9


def test_a_planted_signal_is_found():
    model = fitted(annotations(studies=20, signal=2.0))
    size = np.abs(model.coefficients)
    assert size.argmax() == SIGNAL
    assert model.coefficients[SIGNAL] > 0.5


def test_regions_without_a_signal_fall_below_the_threshold_on_other_studies():
    model = fitted(annotations(studies=20, signal=3.0))
    features, accepted = as_arrays(learnable(annotations(studies=50, signal=3.0, seed=1)))
    shown = model.shows(features)
    assert shown[accepted > 0].mean() > 0.95
    assert shown[accepted == 0].mean() < 0.8


def test_every_accepted_finding_of_the_fit_is_kept():
    rows = annotations(signal=1.0)
    features, accepted = as_arrays(learnable(rows))
    assert fitted(rows).shows(features)[accepted > 0].mean() == 1


def test_a_region_below_all_that_was_judged_is_not_hidden():
    rows = annotations(signal=3.0)
    model = fitted(rows)
    unknown = np.full(len(FEATURES), -3.0)
    unknown[PRIOR] = -9.0
    assert expit(-9.0) < model.lowest_score
    assert model.shows(unknown).all()


def test_unknown_features_count_nothing():
    model = fitted(annotations(signal=1.0))
    features = np.full(len(FEATURES), np.nan)
    features[PRIOR] = model.mean[PRIOR]
    assert model.score(features)[0] == pytest.approx(expit(model.mean[PRIOR]))


def test_scores_are_those_of_the_same_verdicts_with_null_for_unknown():
    rows = annotations(signal=1.0)

    def without(value):
        return [
            Annotated(r.study, r.finding, [*r.features[:-1], value], r.verdict, r.reason)
            for r in rows
        ]

    assert fit(without(None)) == fit(without(float("nan")))


def test_json_keeps_the_model_exactly():
    model = fitted(annotations(signal=1.0))
    assert LearnedRescorer.model_validate_json(model.model_dump_json()) == model


def test_a_model_of_other_features_is_refused():
    model = fitted(annotations())
    with pytest.raises(ValidationError, match="fit it again"):
        LearnedRescorer.model_validate({**model.model_dump(), "feature_version": 0})
    with pytest.raises(ValidationError, match="fit it again"):
        LearnedRescorer.model_validate({**model.model_dump(), "mean": (0.0,)})


def test_it_says_what_it_was_fitted_to():
    trained = fitted(annotations(studies=20, per_study=4)).trained_on
    assert (trained.studies, trained.slices) == (20, 160)
    assert (trained.accepted, trained.rejected) == (40, 40)
    assert trained.reasons == {"calcification": 40}


def test_a_study_is_never_scored_by_its_own_verdicts():
    rows = learnable(annotations(signal=1.0))
    own = np.array([row.study == "study7" for row in rows])
    turned = {"accepted": "rejected", "rejected": "accepted"}
    changed = [
        Annotated(r.study, r.finding, r.features, turned[r.verdict]) if mine else r
        for r, mine in zip(rows, own, strict=True)
    ]
    before, after = out_of_study(rows), out_of_study(changed)
    np.testing.assert_array_equal(before[own], after[own])
    assert not np.allclose(before[~own], after[~own])
