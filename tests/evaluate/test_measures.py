import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint.evaluate.cases import Case
from napari_rsna_inpaint.evaluate.measures import DEFINITIONS, gather, measure
from napari_rsna_inpaint.evaluate.metrics import histogram
from napari_rsna_inpaint.evaluate.report import measure_all
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES
from napari_rsna_inpaint.evaluate.summary import (
    METHODS,
    TOPS,
    MethodScores,
    PixelCounts,
    ScanSummary,
    scan_scores,
)

SUBDURAL = SUBTYPES.index("subdural")


def scan(number, bleed, scores, best=None, *, false=(), lesions=(), ml=(), patient=None):
    """A summary in which every method says the same."""
    bleed = np.array(bleed, np.int8)
    best = np.full(len(bleed), -np.inf) if best is None else np.array(best, float)
    subtypes = np.zeros((len(bleed), 5), np.int8)
    subtypes[bleed == 1, SUBDURAL] = 1
    bleeding = bool((bleed == 1).any())
    said = MethodScores(
        slices=np.array(scores, float),
        best=best,
        scores=np.array(false if not bleeding else [s for s in best if np.isfinite(s)], float),
        n_candidates=len(false) + 1,
        lesions=np.array(lesions, float),
        false=np.array(false, float),
        pixels=None,
    )
    return ScanSummary(
        case=Case(number, f"s{number:02d}", Path(), patient or f"P{number}", {}),
        kind="reference",
        bleed=bleed,
        subtypes=subtypes,
        counted=np.ones(len(bleed), bool),
        bleeding=bleeding,
        outlined=bool(len(lesions)) or not bleeding,
        lesion_ml=np.array(ml, float),
        lesion_subtypes=("subdural",) * len(ml),
        methods=dict.fromkeys(METHODS, said),
        seconds=1.0,
    )


def plain(summaries) -> dict[str, float]:
    evidence = gather(summaries, "ours")
    return {k: float(v[0]) for k, v in measure(evidence, np.ones((1, evidence.n_patients))).items()}


@pytest.fixture
def scans():
    inf = -np.inf
    return [
        scan(1, [1, 1, 0], [9, 3, 1], [5, inf, inf], lesions=[5.0, inf], ml=[4.0, 0.5], false=[2]),
        scan(2, [1, 0, 0], [2, 4, 1], [3, inf, inf], lesions=[3.0], ml=[2.0]),
        scan(3, [0, 0, 0], [3, 2, 0], false=[4.0, 1.0]),
        scan(4, [0, 0, 0], [1, 1, 1], false=[]),
    ]


def test_measures_of_a_small_set_by_hand(scans):
    found = plain(scans)
    assert found["scan_auroc_max"] == 1.0
    assert found["slices_touched"] == pytest.approx(2 / 3)
    assert found["scans_touched"] == 1.0
    assert found["false_per_scan"] == 1.0
    assert found["false_per_scan_all"] == 2.0
    # both bleeding scans are kept down to score 3: one false finding in two scans
    assert found["false_per_scan_at_80_scans"] == 0.5
    assert found["false_per_scan_at_80_slices"] == np.inf
    # lesions at 5 and 3, false ones at 4, 2 and 1, in four scans
    assert found["lesion_sensitivity_at_0.125"] == pytest.approx(1 / 3)
    assert found["lesion_sensitivity_at_0.25"] == pytest.approx(2 / 3)
    assert found["lesion_sensitivity_over_3_ml"] == 1.0
    assert found["lesion_sensitivity_under_1_ml"] == 0.0
    assert found["lesion_false_per_scan"] == 0.75
    assert found["slice_auroc_subdural"] == found["slice_auroc"]
    assert np.isnan(found["slice_auroc_epidural"])
    assert np.isnan(found["pixel_auprc"])


def test_every_measure_is_defined(scans):
    for name in plain(scans):
        head = "mean_auprc" if name.startswith("mean_") else name
        assert any(head.startswith(key) for key in DEFINITIONS), name


def test_the_order_of_scans_does_not_matter(scans):
    first = measure_all(scans, resamples=50, seed=1)
    second = measure_all(scans[::-1], resamples=50, seed=1)
    assert repr(first) == repr(second)


def test_equal_methods_do_not_differ_and_one_patient_has_no_width(scans):
    table = measure_all(scans, resamples=50, seed=1)
    entry = table["ours - B2"]["slice_auroc"]
    assert (entry["value"], entry["low"], entry["high"]) == (0, 0, 0)
    alone = [dataclasses.replace(s, case=dataclasses.replace(s.case, patient="P")) for s in scans]
    entry = measure_all(alone, resamples=20, seed=1)["ours"]["slice_auroc"]
    assert entry["low"] == entry["value"] == entry["high"]


@given(st.permutations(range(4)), st.integers(0, 2**31))
@settings(deadline=None, max_examples=20)
def test_weights_are_repetitions(order, seed):
    """A patient drawn twice counts like two patients."""
    base = [
        scan(1, [1, 0, 0], [5, 1, 2], [2, -np.inf, -np.inf], lesions=[2.0], ml=[1.0], false=[1]),
        scan(2, [1, 1, 0], [3, 4, 1], lesions=[-np.inf], ml=[1.0]),
        scan(3, [0, 0], [2, 6], false=[3.0, 0.5]),
        scan(4, [0, 0], [1, 0], false=[1.0]),
    ]
    weights = np.random.default_rng(seed).integers(0, 3, 4)
    evidence = gather([base[k] for k in order], "ours")
    weighted = measure(evidence, weights[None].astype(float))
    twice = [
        dataclasses.replace(s, case=dataclasses.replace(s.case, patient=f"{s.case.patient}.{k}"))
        for s, n in zip(base, weights, strict=True)
        for k in range(n)
    ]
    if not twice:
        return
    expected = plain(twice)
    for name, values in weighted.items():
        assert float(values[0]) == pytest.approx(expected[name], nan_ok=True), name


def test_pixels_are_pooled_and_averaged():
    rng = np.random.default_rng(0)
    summaries = []
    for number in (1, 2):
        truth = rng.random(2000) < 0.1
        score = np.maximum(rng.normal(size=2000) + 2 * truth * number, 0) / 10
        counts = PixelCounts(
            positive=histogram(score[truth], TOPS["ours"]),
            negative=histogram(score[~truth], TOPS["ours"]),
            lesions=histogram(score[truth], TOPS["ours"])[None],
            drawn=(int((truth & (score > 0.1)).sum()), int((score > 0.1).sum()), int(truth.sum())),
        )
        one = scan(number, [1], [1.0], lesions=[1.0], ml=[1.0])
        said = dataclasses.replace(one.methods["ours"], pixels=counts)
        summaries.append(dataclasses.replace(one, methods={"ours": said}))
    both, first, second = plain(summaries), plain(summaries[:1]), plain(summaries[1:])
    for name in ("auprc", "auroc", "ceil_dice", "dice_drawn"):
        each = (first[f"pixel_{name}"], second[f"pixel_{name}"])
        assert both[f"mean_{name}"] == pytest.approx(np.mean(each))
        assert min(each) < both[f"pixel_{name}"] < max(each)
    assert both["pixel_dice_drawn"] <= both["pixel_ceil_dice"]
    # one region per scan: PRO is the partial area under the mean of both ROC curves
    assert 0.5 < first["pixel_pro"] < both["pixel_pro"] < second["pixel_pro"] < 1


def test_scores_of_a_scan_are_those_of_its_counted_slices():
    counted = np.array([True, True, True, True, False])
    assert scan_scores(np.array([1.0, 5.0, 3.0, 4.0, 9.0]), counted) == (5.0, 4.0)
