import dataclasses

import numpy as np
import pytest

from napari_rsna_inpaint.detection.result import Detection, Finding, Maps
from napari_rsna_inpaint.evaluate import store
from napari_rsna_inpaint.evaluate.candidates import from_findings

SHAPE = (4, 64, 64)
BRIGHT, DARK = np.s_[1, 14:20, 16:22], np.s_[1, 34:40, 16:22]


@pytest.fixture
def detection():
    """A bright finding and a dark one, equally hot."""
    mask = np.zeros(SHAPE, bool)
    mask[1:3, 10:50, 12:40] = True
    residual = np.zeros(SHAPE, np.float32)
    residual[BRIGHT], residual[DARK] = 20.0, -20.0
    bright = Finding(
        id="F1",
        slices=(1, 1),
        centroid_mm=(0.0, 0.0, 0.0),
        bbox=(1, 14, 16, 2, 20, 22),
        volume_ml=1.6,
        area_mm2=324.0,
        sign="hyper",
        score=0.5,
        mean_hu=60.0,
        mean_residual_hu=20.0,
        scales=[32.0],
    )
    dark = dataclasses.replace(bright, id="F2", bbox=(1, 34, 16, 2, 40, 22), sign="hypo")
    return Detection(
        Maps(
            brain_mask=mask,
            inpainted=30 - residual,
            residual=residual,
            heatmap=np.where(residual != 0, np.float32(0.5), np.float32(0)),
            labels=np.select([residual > 0, residual < 0], [1, 2]).astype(np.uint16),
            minimum_distance=residual,
        ),
        findings=[bright, dark],
        slice_scores=np.arange(4, dtype=np.float32),
        done=np.ones(4, bool),
        run={"seconds": 1.5},
    )


def test_only_the_bright_side_is_kept_and_the_brain_comes_back(detection):
    stored = store.compact(detection)
    assert stored.box == (slice(0, 4), slice(10, 50), slice(12, 40))
    np.testing.assert_array_equal(stored.whole_brain(SHAPE), detection.brain_mask)
    hot = np.zeros(SHAPE, bool)
    hot[stored.box] = stored.heat > 0
    np.testing.assert_array_equal(hot, detection.residual > 0)


def test_regions_that_are_no_findings_count_for_nothing(detection):
    detection.labels[2, 40:44, 30:34] = 3
    assert store.compact(detection).labels.max() == 2
    candidates = from_findings(detection.labels, detection.findings)
    assert candidates.drawn().sum() == 36
    assert candidates.best_by_slice().tolist() == [-np.inf, 0.5, -np.inf, -np.inf]


def test_the_sign_of_a_finding_counts_not_that_of_single_pixels(detection):
    detection.residual[:] = -detection.residual
    assert (store.compact(detection).heat > 0).sum() == 36


def test_what_is_saved_is_loaded_for_the_same_identity_only(detection, tmp_path):
    stored = store.compact(detection)
    store.save(tmp_path, stored, {"seed": 0})
    assert store.load(tmp_path, {"seed": 1}) is None
    for again in (store.load(tmp_path, {"seed": 0}), store.load(tmp_path)):
        assert again.box == stored.box
        assert again.run == {"seconds": 1.5}
        assert again.findings[0].sign == "hyper"
        for name in ("brain", "heat", "labels", "slice_scores"):
            np.testing.assert_array_equal(getattr(again, name), getattr(stored, name))


def test_a_damaged_file_is_none(detection, tmp_path):
    assert store.load(tmp_path) is None
    store.save(tmp_path, store.compact(detection), {})
    path = tmp_path / store.NAME
    path.write_bytes(path.read_bytes()[:-200])
    assert store.load(tmp_path) is None
