from __future__ import annotations

import numpy as np
import pytest
from sweeps import BIG, DARK, FAINT, FINDING_HEAT, FLAT, SHAPE, make_detection, make_square

from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.sweep.run import Sweep, sweep
from napari_rsna_inpaint.sweep.settings import SweepSettings
from napari_rsna_inpaint.sweep.subject import Subject


def at(found: Sweep, threshold: float) -> dict:
    return next(row for row in found.rows if row["threshold"] == pytest.approx(threshold))


def point(found: Sweep, words: str) -> float | None:
    return next(one for one in found.points if words in one.name).threshold


def labels(*ill: int) -> np.ndarray:
    bleed = np.zeros(6, np.int8)
    bleed[list(ill)] = 1
    return bleed


def test_counts_are_means_over_scans():
    scans = [Subject("a", make_detection(BIG, FLAT, FAINT)), Subject("b", make_detection(DARK))]
    found = sweep(scans, SweepSettings())
    row = at(found, FINDING_HEAT)
    assert row["candidates_per_scan"] == 1
    assert row["squares_per_scan"] is None
    assert row["scans_flagged"] == 0.5
    assert row["slices_flagged"] == 0.4  # 4 of 5 slices with brain, and none
    assert row["slice_sensitivity"] is row["lesion_sensitivity"] is row["accepted_kept"] is None
    assert at(found, 0.3)["candidates_per_scan"] == 1.5


def test_labels_give_sensitivity_and_specificity_of_slices_and_scans():
    ill = Subject("a", make_detection(BIG, FLAT), bleed=labels(1, 2, 3))
    healthy = Subject("b", make_detection(FAINT), bleed=labels())
    unknown = Subject("c", make_detection(BIG), bleed=np.full(6, -1, np.int8))
    found = sweep([ill, healthy, unknown], SweepSettings())
    row = at(found, 0.86)
    assert row["slice_sensitivity"] == 1.0
    assert row["slice_specificity"] == 1.0
    assert row["scan_sensitivity"] == row["scan_specificity"] == 1.0
    row = at(found, 0.4)
    assert row["slice_specificity"] == pytest.approx(1 - 2 / 7, abs=1e-6)
    assert row["scan_specificity"] == 0.0


def test_outlines_give_lesions_and_pixels():
    lesions = np.zeros(SHAPE, bool)
    lesions[BIG[0]] = True
    lesions[0, 40:44, 40:44] = True  # nothing there
    found = sweep([Subject("a", make_detection(BIG, FAINT), lesions=lesions)], SweepSettings())
    row = at(found, 0.4)
    assert row["lesion_sensitivity"] == 0.5
    assert row["false_per_scan"] == 1
    size = 3 * 12 * 12
    assert row["pixel_recall"] == pytest.approx(size / (size + 16), abs=1e-6)
    assert row["pixel_precision"] == pytest.approx(size / (size + 64), abs=1e-6)
    assert at(found, 0.6)["false_per_scan"] == 0
    assert at(found, 1.0)["lesion_sensitivity"] == 0
    assert at(found, 1.0)["pixel_precision"] is None


def test_verdicts_tell_what_a_threshold_keeps():
    result = make_detection(BIG, FLAT, FAINT)
    assert [one.id for one in (*result.findings, *result.further)] == ["F1", "F2", "F3"]
    verdicts = {"F1": "accepted", "F2": "rejected", "F3": "rejected", "S1": "supplemented"}
    found = sweep([Subject("a", result, verdicts=verdicts)], SweepSettings())
    assert [at(found, t)["accepted_kept"] for t in (0.4, 0.6, 0.88, 1.0)] == [1, 1, 1, 0]
    assert [at(found, t)["rejected_kept"] for t in (0.4, 0.6, 0.88)] == [1, 0.5, 0]


def test_squares_are_counted_beside_the_regions_that_they_make():
    squares = [make_square(2, 8, 8, 6.0), make_square(2, 12, 12, 7.0), make_square(3, 30, 30, 3.0)]
    scans = [Subject("a", make_detection(squares=squares))]
    found = sweep(scans, SweepSettings(metric="mean_difference", size_mm=8.0, min_area_mm2=0))
    row = at(found, 5)
    assert (row["squares_per_scan"], row["candidates_per_scan"]) == (2, 1)
    row = at(found, 2)
    assert (row["squares_per_scan"], row["candidates_per_scan"]) == (3, 2)


def test_at_most_so_many_findings_holds_exactly():
    found = sweep([Subject("a", make_detection(BIG, FLAT, FAINT))], SweepSettings())
    assert point(found, "own") == FINDING_HEAT
    assert point(found, "at most 1 finding a scan") == pytest.approx(0.86)
    assert point(found, "at most 3") == pytest.approx(0.3)
    # plain maps are cut at the thresholds of the table
    found = sweep(
        [Subject("a", make_detection(BIG, FAINT))], SweepSettings(metric="signed_residual")
    )
    assert point(found, "at most 1 finding a scan") == 21
    assert at(found, 20)["candidates_per_scan"] == 2


def test_healthy_scans_set_their_threshold():
    healthy = [
        Subject(str(k), make_detection((BIG[0], 0.4 + k / 20)), bleed=labels()) for k in range(9)
    ]
    ill = Subject("ill", make_detection(BIG), bleed=labels(1))
    found = sweep([*healthy, ill], SweepSettings())
    # the highest of nine: one in ten further healthy scans lies above it
    assert point(found, "10%") == pytest.approx(0.8)
    assert point(found, "10%") > float(np.float32(0.8))
    # with too few, those that the model was calibrated with: 0.05 to 0.5
    for few in ([ill], healthy[1:]):
        assert point(sweep(few, SweepSettings()), "10%") == pytest.approx(0.5)
        found = sweep(few, SweepSettings(metric="signed_residual"))
        assert point(found, "10%") is None
    assert found.points[-1].basis == "8 healthy scans by the labels, 9 are needed"


def test_a_chosen_threshold_gets_a_row_and_nothing_is_refused_in_words():
    found = sweep([Subject("a", make_detection(BIG))], SweepSettings(threshold=0.777))
    assert at(found, 0.777)["candidates_per_scan"] == 1
    with pytest.raises(InputRefused, match="no result"):
        sweep([], SweepSettings())
    with pytest.raises(Cancelled):
        sweep([Subject("a", make_detection(BIG))], SweepSettings(), cancelled=lambda: True)
