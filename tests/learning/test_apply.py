import copy

import numpy as np
import pytest
from annotations import PRIOR, SIGNAL, annotations, result

from napari_rsna_inpaint.learning.apply import rescored
from napari_rsna_inpaint.learning.features import FEATURES, logit
from napari_rsna_inpaint.learning.model import LearnedRescorer, fit
from napari_rsna_inpaint.volume import CTVolume


@pytest.fixture
def model() -> LearnedRescorer:
    fitted = fit(annotations(studies=30, signal=3.0))
    assert fitted is not None
    return fitted.model_copy(update={"threshold": 0.7, "lowest_score": 0.55})


@pytest.fixture
def detection():
    volume = CTVolume(np.zeros((4, 8, 40), np.int16), np.eye(4), np.zeros((4, 3)))
    boxes = [(slice(0, 2), slice(0, 4), slice(8 * k, 8 * k + 4)) for k in range(4)]
    return result(volume, boxes, np.ones(volume.hu.shape, bool), further=2)


def features(detection, density: dict[str, float]) -> dict[str, list[float]]:
    found = {}
    for one in (*detection.findings, *detection.further):
        values = np.zeros(len(FEATURES))
        values[PRIOR] = logit(one.score)
        values[SIGNAL] = density[one.id]
        found[one.id] = values.tolist()
    return found


def test_look_alikes_fall_and_what_readers_accept_rises(model, detection):
    # scores 0.8, 0.7 | 0.6, 0.5; the last was never judged, however dense it is
    values = features(detection, {"F1": -3.0, "F2": 3.0, "F3": 4.0, "F4": 9.0})
    out = rescored(detection, values, model)
    assert out.fallen == ("F1",)
    assert out.risen == ("F3",)
    assert set(out.order) == {"F2", "F3"}
    by_id = {one.id: one for one in out.scores}
    assert by_id["F1"].new < by_id["F1"].old == pytest.approx(0.8)
    assert by_id["F4"].new == by_id["F4"].old
    assert out.order == tuple(sorted(out.order, key=lambda name: -by_id[name].new))


def test_dark_findings_keep_their_score_and_stay(model, detection):
    detection.findings[0].sign = "hypo"
    detection.findings[0].score = 0.4
    out = rescored(
        detection, features(detection, dict.fromkeys(("F1", "F2", "F3", "F4"), -3.0)), model
    )
    assert out.scores[0].new == 0.4
    assert "F1" in out.order
    assert out.fallen == ("F2",)


def test_the_result_stays_as_it_is(model, detection):
    before = copy.deepcopy([*detection.findings, *detection.further])
    rescored(detection, features(detection, dict.fromkeys(("F1", "F2", "F3", "F4"), 2.0)), model)
    assert [*detection.findings, *detection.further] == before
