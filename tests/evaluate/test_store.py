import numpy as np
import pytest

from napari_rsna_inpaint.detection.result import Detection, Finding
from napari_rsna_inpaint.evaluate import store
from napari_rsna_inpaint.evaluate.phantom import head_phantom

BRIGHT, DARK = np.s_[1, 14:20, 16:22], np.s_[1, 34:40, 16:22]


@pytest.fixture
def volume():
    volume = head_phantom(shape=(4, 64, 64), spacing=(5.0, 3.0, 3.0)).volume
    volume.hu[BRIGHT], volume.hu[DARK] = 60, 8
    return volume


@pytest.fixture
def detection(volume):
    """A bright region on brain and a dark one in fluid, equally hot."""
    mask = np.zeros(volume.hu.shape, bool)
    mask[1:3, 10:50, 12:40] = True
    residual = np.zeros(volume.hu.shape, np.float32)
    residual[BRIGHT], residual[DARK] = 20.0, -20.0
    finding = Finding(
        id="F1",
        slices=(1, 1),
        centroid_mm=(0.0, 0.0, 0.0),
        bbox=(1, 14, 16, 2, 20, 22),
        volume_ml=1.6,
        area_mm2=324.0,
        sign="hyper",
        score=9.0,
        mean_hu=60.0,
        mean_residual_hu=20.0,
        scales=[32.0],
    )
    return Detection(
        brain_mask=mask,
        inpainted=volume.hu - residual,
        residual=residual,
        heatmap=np.where(residual != 0, np.float32(7), np.float32(0)),
        labels=(residual > 0).astype(np.uint16),
        findings=[finding],
        slice_scores=np.arange(4, dtype=np.float32),
        done=np.ones(4, bool),
        run={"seconds": 1.5},
    )


def test_only_the_bright_side_is_kept_and_the_brain_comes_back(volume, detection):
    stored = store.compact(detection, volume)
    assert stored.box == (slice(0, 4), slice(10, 50), slice(12, 40))
    np.testing.assert_array_equal(stored.whole_brain(volume.hu.shape), detection.brain_mask)
    hot = np.zeros(volume.hu.shape, bool)
    hot[stored.box] = stored.heat > 0
    assert hot[1, 15:19, 17:21].all()
    assert not hot[1, 35:39, 17:21].any()


def test_what_is_saved_is_loaded_for_the_same_identity_only(volume, detection, tmp_path):
    stored = store.compact(detection, volume)
    store.save(tmp_path, stored, {"seed": 0})
    assert store.load(tmp_path, {"seed": 1}) is None
    for again in (store.load(tmp_path, {"seed": 0}), store.load(tmp_path)):
        assert again.box == stored.box
        assert again.run == {"seconds": 1.5}
        assert again.findings[0].sign == "hyper"
        for name in ("brain", "heat", "labels", "slice_scores"):
            np.testing.assert_array_equal(getattr(again, name), getattr(stored, name))


def test_a_damaged_file_is_none(volume, detection, tmp_path):
    assert store.load(tmp_path) is None
    store.save(tmp_path, store.compact(detection, volume), {})
    path = tmp_path / store.NAME
    path.write_bytes(path.read_bytes()[:-200])
    assert store.load(tmp_path) is None
