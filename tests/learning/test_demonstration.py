import numpy as np
from annotations import PRIOR, SIGNAL, finding, result

from napari_rsna_inpaint.learning.demonstration import experiment, shown, summarise, table
from napari_rsna_inpaint.learning.features import FEATURES
from napari_rsna_inpaint.learning.simulated import Judged, JudgedScan, simulated_verdicts
from napari_rsna_inpaint.volume import CTVolume


def scans(patients: int = 30, signal: float = 4.0) -> list[JudgedScan]:
    """Of every patient one scan as it is, and one with a bleed that is denser by ``signal``."""
    rng = np.random.default_rng(0)

    def region(number: int, verdict: str) -> Judged:
        features = rng.normal(size=len(FEATURES))
        features[PRIOR] = rng.normal()
        features[SIGNAL] += signal * (verdict == "accepted")
        one = finding(f"F{number}", slices=(4 * number, 4 * number + 2), score=features[PRIOR])
        return Judged(one, features.tolist(), verdict, shown=number < 4)

    return [
        JudgedScan(
            f"s{patient}",
            f"p{patient}",
            bleed,
            [region(k, "accepted" if bleed and k == 1 else "rejected") for k in range(1, 6)],
        )
        for patient in range(patients)
        for bleed in (0, 1)
    ]


def test_twenty_annotated_scans_make_other_patients_quieter_at_equal_sensitivity():
    summary = summarise(experiment(scans(), 20, None, splits=10, seed=0))
    assert summary["fitted"] == 10
    assert summary["before"] == 2.5  # three in a scan as it is, two beside a bleed
    assert summary["fewer_equal"] > 0.3
    assert summary["fewer_equal"] > summary["fewer_threshold_alone"]
    assert summary["sensitivity_before"] == 1


def test_too_few_annotated_scans_change_nothing():
    outcomes = experiment(scans(), 1, None, splits=5, seed=0)
    assert outcomes == [None] * 5
    assert "stays as it is" in table({"a point": {"1": summarise(outcomes)}})


def test_the_same_seed_gives_the_same_splits():
    assert experiment(scans(), 10, 3, 3, seed=1) == experiment(scans(), 10, 3, 3, seed=1)


def test_an_operating_point_limits_what_is_shown():
    scan = scans()[0]
    assert len(shown(scan, None)) == 3
    assert len(shown(scan, 5)) == 5


def volume_with_regions():
    volume = CTVolume(np.zeros((6, 10, 30), np.int16), np.eye(4), np.zeros((6, 3)))
    boxes = [(slice(2 * k, 2 * k + 2), slice(0, 10), slice(0, 10)) for k in range(3)]
    return volume, result(volume, boxes, np.ones(volume.hu.shape, bool), further=1)


def test_the_outline_of_a_synthetic_bleed_decides():
    volume, detection = volume_with_regions()
    lesion = np.zeros(volume.hu.shape, bool)
    lesion[0:2, 0:5, 0:10] = True
    lesion[2, 0, 0] = True  # less than a tenth of the region and of the bleed
    verdicts = simulated_verdicts(detection, lesion, np.ones(6, np.int8))
    assert verdicts == ["accepted", "rejected", "rejected"]


def test_labels_of_slices_decide_elsewhere_and_leave_weak_regions_open():
    _, detection = volume_with_regions()
    bleeding = np.array([0, 0, 0, 1, 1, 0], np.int8)
    assert simulated_verdicts(detection, None, bleeding) == ["rejected", "accepted", "unsure"]
