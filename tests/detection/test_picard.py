import numpy as np
import pytest
from calibrations import plain_calibration
from picard_models import SMALL, save_small_model

from napari_rsna_inpaint.brain import packed_brain_mask
from napari_rsna_inpaint.detection.calibration import save_calibration
from napari_rsna_inpaint.detection.config import changed
from napari_rsna_inpaint.detection.picard import PRESETS, PicardDetector
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.detection.window_scores import summary
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_small_model(tmp_path_factory.mktemp("models") / "picard")
    save_calibration(folder, "picard", plain_calibration())
    return folder


@pytest.fixture(scope="module")
def scan(model):
    volume = head_phantom(seed=3, shape=(5, 128, 128), spacing=(5.0, 1.6, 1.6)).volume
    mask = packed_brain_mask(volume)
    detector = detector_of(model)
    return Scan(volume, mask, detector.grid(volume, mask.outline()), detector.pixel_mm)


def detector_of(model, protocol="fast", **parameters):
    config = changed(PRESETS[protocol], parameters)
    return PicardDetector(protocol, config, model=model, device="cpu")


def section(detector, scan, z=2, **options):
    (scores,) = detector.run(scan, indices=[z], seed=0, **options)
    return scores


class Oracle:
    """Completes a hole with given sections, and sees the mean of a patch in it."""

    layers = ()

    def __init__(self, *sections):
        self._sections = sections

    def complete(self, jobs, **_):
        for job in jobs:
            yield job, np.stack([np.where(job.hole, one, job.image) for one in self._sections])

    def features(self, patches):
        return patches.mean((1, 2))[:, None]


@pytest.mark.parametrize("protocol", PRESETS)
def test_all_of_the_brain_is_completed_and_nothing_else(model, scan, protocol):
    # two completions tell as much as ten, sooner
    scores = section(detector_of(model, protocol, completions=2), scan)
    brain = scan.brain(2)
    assert scores.residual.shape == scores.minimum.shape == scan.shape
    assert (scores.residual[brain] != 0).mean() > 0.99
    assert not scores.residual[~brain].any()
    assert not scores.minimum[~brain].any()
    assert (np.abs(scores.minimum) <= np.abs(scores.residual) + 1e-4).mean() > 0.9
    assert scores.deviation is None


def test_a_section_depends_neither_on_the_others_nor_on_the_batch(model, scan):
    detector = detector_of(model, completions=3)
    indices = [3, 1, 2]
    together = list(detector.run(scan, indices=indices, seed=4))
    assert [scores.index for scores in together] == indices
    other = PicardDetector("fast", detector.config, model=model, device="cpu", batch_size=1)
    for z, scores in zip(indices, together, strict=True):
        (alone,) = other.run(scan, indices=[z], seed=4)
        np.testing.assert_array_equal(alone.residual, scores.residual)
        np.testing.assert_array_equal(alone.minimum, scores.minimum)
    (again,) = detector.run(scan, indices=[1], seed=5)
    assert not np.array_equal(again.residual, together[1].residual)


def test_the_residual_lies_where_the_original_departs(model, scan):
    """The completions are known: the section without its bleed, and one that is worse."""
    detector = detector_of(model, hole_mm=20, stride_mm=10, patch_mm=40, completions=2)
    image = scan.context(2).image
    bleed = np.zeros(scan.shape, np.float32)
    y, x = (int(v) for v in np.argwhere(scan.brain(2)).mean(0))
    bleed[y - 3 : y + 4, x + 4 : x + 9] = 30
    detector._completer = Oracle(image - bleed - 12, image - bleed)
    scores = section(detector, scan)
    expected = np.where(scan.brain(2), bleed, 0)
    np.testing.assert_allclose(scores.residual, expected, atol=1e-4)
    np.testing.assert_allclose(scores.minimum, expected, atol=1e-4)


def test_patches_that_are_cut_out_are_put_back_where_they_were(model, scan):
    """Every completion is a tenth of its original, so the residual is nine tenths of it."""
    detector = detector_of(model, hole_mm=20, stride_mm=14, patch_mm=44, share=False)
    image, brain = scan.context(2).image, scan.brain(2)

    class Tenth(Oracle):
        def complete(self, jobs, **_):
            for job in jobs:
                yield job, np.where(job.hole, job.image / 10, job.image)[None]

    detector._completer = Tenth()
    scores = section(detector, scan)
    np.testing.assert_allclose(scores.residual, np.where(brain, 0.9 * image, 0), atol=1e-3)


@pytest.mark.parametrize(("statistic", "expected"), [("min", -1), ("mean", 3), ("median", -1)])
def test_the_statistic_names_the_completion_that_is_shown(model, scan, statistic, expected):
    detector = detector_of(model, statistic=statistic, completions=3)
    image = scan.context(2).image
    detector._completer = Oracle(image + 1, image + 2, image - 12)
    scores = section(detector, scan)
    np.testing.assert_allclose(scores.residual[scan.brain(2)], expected, atol=1e-4)


def test_distances_of_a_window():
    distances = np.array([3.0, 1.0, 8.0], np.float32)
    difference = np.array([[3, 3], [1, -1], [8, 8]], np.float32)
    for statistic, value, shown in (
        ("min", 1, [1, -1]),
        ("mean", 4, [4, 10 / 3]),
        ("median", 3, [3, 3]),
    ):
        found, residual = summary(distances, difference, statistic)
        assert found == value
        np.testing.assert_allclose(residual, shown)


def test_windows_are_judged_by_the_critic_where_they_are(model, scan):
    detector = detector_of(
        model, space="critic-feature", hole_mm=20, stride_mm=4, patch_mm=40, completions=1
    )
    y, x = (int(v) for v in np.argwhere(scan.brain(2)).mean(0))
    bleed = np.zeros(scan.shape, np.float32)
    bleed[y, x + 6] = 500
    detector._completer = Oracle(scan.context(2).image - bleed)
    deviation = section(detector, scan).deviation
    assert deviation.shape == scan.shape
    peak = np.argwhere(deviation == deviation.max()).mean(0)
    np.testing.assert_allclose(peak, (y, x + 6), atol=2)
    assert deviation.max() > 0
    assert not deviation[~scan.brain(2)].any()
    # what is missing is negative
    detector._completer = Oracle(scan.context(2).image + bleed)
    assert section(detector, scan).deviation.min() < 0


def test_the_distance_of_features_does_not_grow_with_brightness(model, scan):
    detector = detector_of(model, space="critic-feature", completions=1)
    context = scan.context(2)
    job = next(detector._jobs(context, 0))
    windows = detector._windows(context.brain)
    distances = []
    for gain in (1, 3):
        detector._completer = Oracle()
        detector._completer.features = lambda patches, gain=gain: (
            np.array([[1.0, 0.0], [0.0, 1.0]]) * gain
        )
        made = job.image[None]
        distances.append(detector._feature_distances(job, made, windows, job.members[0]))
    np.testing.assert_allclose(distances[0], distances[1])
    np.testing.assert_allclose(distances[0], 20 * np.sqrt(2), rtol=1e-5)


def test_features_of_a_real_network_are_told_apart(model, scan):
    scores = section(detector_of(model, space="critic-feature", completions=2), scan)
    assert np.isfinite(scores.deviation).all()
    assert (scores.deviation[scan.brain(2)] != 0).mean() > 0.95


def test_progress_counts_every_completion(model, scan):
    detector = detector_of(model, completions=3)
    calls = []
    list(detector.run(scan, indices=[1, 2], seed=0, on_step=lambda *c: calls.append(c)))
    done, total = zip(*calls, strict=True)
    assert len(set(total)) == 1
    assert done[-1] == total[0]
    assert list(done) == sorted(done)
    expected = sum(len(detector._sets(scan.brain(z))) for z in (1, 2)) * 3
    assert total[0] == expected


def test_it_stops_when_asked(model, scan):
    with pytest.raises(Cancelled):
        section(detector_of(model), scan, cancelled=lambda: True)


def test_windows_that_share_an_evaluation_leave_each_others_patch_alone(model, scan):
    detector = detector_of(model, "full")
    context = scan.context(2)
    windows = detector._windows(context.brain)
    covered = np.zeros(scan.shape, int)
    side, patch = (round(mm / SMALL.pixel_mm) for mm in (32, 96))
    for job in detector._jobs(context, 0):
        for place in job.members:
            covered[windows.inside(place, scan.shape)] += 1
            y, x = windows.ys[place[0]], windows.xs[place[1]]
            margin = (patch - side) // 2
            around = tuple(slice(max(0, s - margin), s + side + margin) for s in (y, x))
            others = job.hole.copy()
            others[windows.inside(place, scan.shape)] = False
            assert not others[around].any()
    assert covered[context.brain].min() >= 1


def test_provenance_names_the_layers_with_dropout(model):
    for dropout, names in (
        ("both", ["coarse.context2", "fine.context3"]),
        ("coarse", ["coarse.context2"]),
    ):
        told = detector_of(model, dropout=dropout).provenance()
        assert told["dropout_layers"] == names
        assert told["parameters"]["dropout"] == dropout


def test_the_reference_is_as_published():
    config = PRESETS["reference"]
    assert (config.hole_mm, config.patch_mm, config.stride_mm) == (128, 256, 32)
    assert (config.completions, config.statistic, config.space) == (10, "min", "pixel")


def test_another_backend_is_refused(model):
    with pytest.raises(InputRefused, match="backend"):
        PicardDetector("fast", model=model, device="cpu", backend="onnx")
