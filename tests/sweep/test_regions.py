from __future__ import annotations

import numpy as np
import pytest
from sweeps import BIG, DARK, FAINT, FINDING_HEAT, FLAT, make_detection, make_square

from napari_rsna_inpaint import detect
from napari_rsna_inpaint.detection.findings import MIN_AREA_MM2
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.sweep.regions import Levels
from napari_rsna_inpaint.sweep.subject import Subject


def test_the_heatmap_at_the_detectors_own_threshold_gives_its_bright_findings(tiny_model):
    phantom = head_phantom(
        seed=3, bleed="intraparenchymal", shape=(6, 160, 160), spacing=(5.0, 1.25, 1.25)
    )
    result = detect(phantom.volume, model=tiny_model, device="cpu")
    bright = [one for one in result.findings if one.sign == "hyper"]
    assert bright
    levels = Levels(Subject("phantom", result), "heatmap")
    own = result.run["scan"]["finding_heat"]
    assert levels.candidates(own, MIN_AREA_MM2).sum() == len(bright)
    numbers = [k for k, one in enumerate(result.findings, start=1) if one.sign == "hyper"]
    drawn = levels.labels(own, MIN_AREA_MM2) > 0
    np.testing.assert_array_equal(drawn, np.isin(result.labels, numbers)[levels.subject.box])


def test_regions_below_the_detectors_threshold_come_one_by_one():
    levels = Levels(Subject("one", make_detection(BIG, FLAT, FAINT, DARK)), "heatmap")
    counts = [levels.candidates(t, MIN_AREA_MM2).sum() for t in (0.3, 0.51, FINDING_HEAT, 0.89, 1)]
    assert counts == [3, 2, 2, 1, 0]
    assert levels.candidates(0.3, 100.0).sum() == 1
    assert sorted(levels.peaks(MIN_AREA_MM2)) == pytest.approx([0.5, 0.85, 0.9])


def test_plain_maps_are_cut_where_they_are():
    subject = Subject("one", make_detection(BIG, FAINT, DARK))
    signed, absolute, nearest = (
        Levels(subject, name)
        for name in ("signed_residual", "absolute_residual", "minimum_distance")
    )
    assert [signed.candidates(t, 25.0).sum() for t in (15, 25, 40)] == [2, 1, 0]
    assert absolute.candidates(15, 25.0).sum() == 3
    assert nearest.candidates(15, 25.0).sum() == 1
    assert signed.regions(25).touched.sum() == 3
    assert signed.peaks(25.0) is None


def test_a_slice_shows_what_the_whole_scan_has_there():
    subject = Subject("one", make_detection(BIG, FLAT, FAINT))
    for name, threshold in (("heatmap", 0.6), ("signed_residual", 25)):
        levels = Levels(subject, name)
        whole = levels.labels(threshold, 25.0) > 0
        for z in range(6):
            np.testing.assert_array_equal(levels.plane(z, threshold, 25.0), whole[z])


def test_squares_mark_their_pixels_with_the_highest_value():
    squares = [
        make_square(2, 11.5, 11.5, 6.0),
        make_square(2, 15.5, 15.5, 9.0),
        make_square(3, 50.0, 40.0, 7.0),  # beyond the brain
        make_square(1, 20.0, 20.0, 8.0, covered=0.2),  # too little of it was hidden
    ]
    subject = Subject("one", make_detection(BIG, squares=squares))
    levels = Levels(subject, "earth_mover", 8.0)
    assert [levels.flagged_squares(t) for t in (5, 6.5, 8, 10)] == [3, 2, 1, 0]
    drawn = np.zeros((6, 60, 50), bool)
    drawn[subject.box] = levels.labels(5, 0.0) > 0
    assert drawn[2, 12:20, 12:20].all()
    assert drawn[2, 16:24, 16:24].all()
    assert drawn[2].sum() == 64 + 64 - 16
    assert drawn[3].sum() == (55 - 50) * (45 - 40)
    assert not drawn[1].any()
    assert (levels.labels(8, 0.0) > 0).sum() == 64


def test_a_size_that_was_not_measured_is_refused_with_those_that_were():
    subject = Subject("s1", make_detection(BIG, squares=[make_square(2, 8, 8, 1.0)]))
    for size in (None, 16.0):
        with pytest.raises(InputRefused, match=r"measured in s1: 8 \(mm\)"):
            Levels(subject, "mse", size)
    with pytest.raises(InputRefused, match="no squares"):
        Levels(Subject("s1", make_detection(BIG)), "mse", 8.0)
