import numpy as np
from annotations import annotations

from napari_rsna_inpaint.learning.annotated import Annotated
from napari_rsna_inpaint.learning.effect import Effect, cross_validated


def effect(rows) -> Effect:
    found = cross_validated(rows)
    assert isinstance(found, Effect)
    return found


def test_a_planted_signal_is_recommended_with_its_numbers():
    found = effect(annotations(studies=24, per_study=6, signal=4.0))
    assert found.before == 3.0
    assert found.equal < 0.7 * found.before
    assert found.equal < found.threshold_alone
    assert found.interval[0] <= found.equal - found.threshold_alone <= found.interval[1] < 0
    assert found.recommended
    assert "over 24 scans: 3.0 -> " in found.sentence
    assert f"{found.kept} of 72 accepted findings kept" in found.sentence


def test_useless_features_are_not_recommended():
    assert not any(effect(annotations(studies=20, seed=seed)).recommended for seed in range(3))


def test_what_does_not_help_is_said_not_to():
    rows = annotations(studies=8)
    # in half of the studies the rejected are the denser ones
    mixed = [
        Annotated(row.study, row.finding, [0.0, *np.negative(row.features[1:])], row.verdict)
        if int(row.study[5:]) % 2
        else row
        for row in rows
    ]
    found = effect(mixed)
    assert not found.recommended
    assert "does not show that it helps" in found.sentence


def test_too_few_verdicts_are_counted_in_the_sentence():
    assert "12 slices bear a verdict; learning starts with 20" in str(
        cross_validated(annotations(studies=3, per_study=2))
    )


def test_verdicts_of_one_kind_are_not_enough():
    rows = [row for row in annotations() if row.verdict == "rejected"]
    assert "only those of one kind" in str(cross_validated(rows))


def test_the_effect_does_not_depend_on_the_order_of_the_rows():
    rows = annotations(signal=1.0)
    assert cross_validated(rows[::-1]) == cross_validated(rows)
