import dataclasses
import itertools

import numpy as np
import pytest

from napari_rsna_inpaint import detect
from napari_rsna_inpaint.detection.base import SliceScores
from napari_rsna_inpaint.detection.files import load_detection, write_detection
from napari_rsna_inpaint.detection.grid import GridDetector
from napari_rsna_inpaint.errors import Cancelled, InputRefused, OutputFailed
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.volume import CTVolume


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(
        seed=3, bleed="intraparenchymal", shape=(6, 160, 160), spacing=(5.0, 1.25, 1.25)
    )


@pytest.fixture(scope="module")
def expected(phantom, tiny_model):
    return detect(phantom.volume, model=tiny_model, device="cpu")


def same(a, b):
    """Equal bit for bit."""
    for name in ("inpainted", "residual", "heatmap", "labels"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    np.testing.assert_array_equal(a.done, b.done)


def stored_against(volume, axes):
    """The same volume, stored in the opposite direction along some axes."""
    affine, hu = volume.affine.copy(), np.flip(volume.hu, axes)
    for axis in axes:
        affine[:, 3] += affine[:, axis] * (hu.shape[axis] - 1)
        affine[:, axis] *= -1
    positions = affine[:3, 3] + np.arange(len(hu))[:, None] * affine[:3, 0]
    return CTVolume(hu, affine, positions)


def test_result_lies_on_the_grid_of_the_input(phantom, expected):
    for name in ("brain_mask", "inpainted", "residual", "heatmap", "labels"):
        assert getattr(expected, name).shape == phantom.volume.hu.shape
    assert expected.done.all()


def test_residual_is_original_minus_inpainted_and_zero_outside_the_brain(phantom, expected):
    np.testing.assert_allclose(expected.residual, phantom.volume.hu - expected.inpainted, atol=1e-4)
    outside = ~expected.brain_mask
    assert not expected.residual[outside].any()
    assert not expected.heatmap[outside].any()
    assert (expected.heatmap >= 0).all()


def test_the_scan_is_compared_with_healthy_scans_at_the_chosen_rate(phantom, expected, tiny_model):
    scan = expected.run["scan"]
    assert scan["score"] == pytest.approx(expected.slice_scores.max())
    assert scan["threshold"] == pytest.approx(0.5)  # the highest of ten healthy scans
    assert scan["suspicious"] == (scan["score"] > 0.5)
    wide, strict = (
        detect(phantom.volume, model=tiny_model, device="cpu", flag_rate=rate, slices=[3]).run
        for rate in (0.5, 0.01)
    )
    assert wide["scan"]["threshold"] == pytest.approx(0.3)
    assert strict["scan"]["threshold"] is None
    assert strict["scan"]["suspicious"] is None


def test_labels_and_findings_agree(expected):
    assert expected.findings
    listed = [*expected.findings, *expected.further]
    assert [finding.id for finding in listed] == [f"F{k}" for k in range(1, len(listed) + 1)]
    assert expected.labels.max() == len(listed)
    for number, finding in enumerate(listed, start=1):
        where = np.argwhere(expected.labels == number)
        np.testing.assert_array_equal(where.min(0), finding.bbox[:3])
        np.testing.assert_array_equal(where.max(0) + 1, finding.bbox[3:])


def test_an_earlier_result_that_cannot_be_replaced_is_refused_in_words(phantom, expected, tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(OutputFailed, match="earlier run cannot be replaced"):
        write_detection(tmp_path, expected, phantom.volume)


def test_two_runs_are_equal_bit_for_bit(phantom, expected, tiny_model):
    same(detect(phantom.volume, model=tiny_model, device="cpu"), expected)


def test_batch_size_does_not_matter(phantom, expected, tiny_model):
    same(detect(phantom.volume, model=tiny_model, device="cpu", batch_size=3), expected)


def test_a_slice_alone_gives_what_it_gives_among_others(phantom, expected, tiny_model):
    alone = detect(phantom.volume, model=tiny_model, device="cpu", slices=[2])
    np.testing.assert_array_equal(alone.residual[2], expected.residual[2])
    assert alone.done.tolist() == [False, False, True, False, False, False]
    assert not alone.residual[[0, 1, 3, 4, 5]].any()


@pytest.mark.parametrize(
    "axes", [a for n in (1, 2, 3) for a in itertools.combinations(range(3), n)]
)
def test_the_storage_direction_does_not_matter(phantom, expected, tiny_model, axes):
    """A NIfTI stored against head, posterior or left gives the same, flipped."""
    result = detect(stored_against(phantom.volume, axes), model=tiny_model, device="cpu")
    np.testing.assert_allclose(np.flip(result.residual, axes), expected.residual, atol=1e-3)
    assert len(result.findings) == len(expected.findings)
    for a, b in zip(result.findings, expected.findings, strict=True):
        assert a.centroid_mm == pytest.approx(b.centroid_mm, abs=0.2)


def test_progress_counts_up_and_every_slice_arrives_once(phantom, tiny_model):
    seen, counts = [], []

    def on_progress(done, total, partial):
        counts.append((done, total))
        if partial is not None:
            seen.append(partial.index)
            assert partial.residual.shape == phantom.volume.hu.shape[1:]

    detect(phantom.volume, model=tiny_model, device="cpu", on_progress=on_progress)
    assert sorted(seen) == list(range(6))
    assert counts == sorted(counts)
    assert counts[-1][0] == counts[-1][1]


def test_cancelled_run_keeps_its_slices_and_resumes_to_the_same_result(
    phantom, expected, tiny_model, tmp_path
):
    finished = []

    def on_progress(done, total, partial):
        finished.extend([partial.index] if partial is not None else [])

    options = {"model": tiny_model, "device": "cpu", "store": tmp_path / "partial"}
    with pytest.raises(Cancelled) as caught:
        detect(
            phantom.volume,
            on_progress=on_progress,
            cancelled=lambda: len(finished) >= 2,
            **options,
        )
    partial = caught.value.partial
    assert 2 <= partial.done.sum() < 6
    assert partial.run["finished"] is False
    np.testing.assert_array_equal(partial.residual[partial.done], expected.residual[partial.done])
    resumed = detect(phantom.volume, **options)
    assert resumed.run["denoiser_evaluations"] < expected.run["denoiser_evaluations"]
    same(resumed, expected)
    np.testing.assert_array_equal(resumed.minimum_distance, expected.minimum_distance)
    assert resumed.squares == expected.squares


def test_stored_slices_of_other_parameters_are_not_taken(phantom, tiny_model, tmp_path):
    options = {"model": tiny_model, "device": "cpu", "store": tmp_path, "slices": [2]}
    first = detect(phantom.volume, seed=0, **options)
    second = detect(phantom.volume, seed=1, **options)
    assert second.run["denoiser_evaluations"] == first.run["denoiser_evaluations"]
    assert (first.residual != second.residual).any()


def test_a_damaged_stored_slice_is_computed_anew(phantom, tiny_model, tmp_path):
    options = {"model": tiny_model, "device": "cpu", "store": tmp_path, "slices": [2]}
    first = detect(phantom.volume, **options)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    same(detect(phantom.volume, **options), first)


def test_slices_of_another_geometry_are_not_taken(phantom, tiny_model, tmp_path):
    options = {"model": tiny_model, "device": "cpu", "store": tmp_path, "slices": [2]}
    first = detect(phantom.volume, **options)
    affine = phantom.volume.affine.copy()
    affine[:, :3] *= 1.1
    moved = dataclasses.replace(
        phantom.volume, affine=affine, positions=phantom.volume.positions * 1.1
    )
    second = detect(moved, **options)
    assert second.run["denoiser_evaluations"] > 0.5 * first.run["denoiser_evaluations"]


def test_a_store_that_cannot_be_written_costs_no_result(
    phantom, expected, tiny_model, tmp_path, caplog
):
    (tmp_path / "store").write_text("a file where a folder should be")
    result = detect(phantom.volume, model=tiny_model, device="cpu", store=tmp_path / "store")
    same(result, expected)
    assert caplog.text.count("cannot be kept") == 1


def test_voxels_that_are_not_finite_count_as_air_and_are_noted(phantom, expected, tiny_model):
    hu = phantom.volume.hu.astype(np.float32)
    hu[0, 80, 80] = np.nan
    result = detect(
        dataclasses.replace(phantom.volume, hu=hu), model=tiny_model, device="cpu", slices=[0, 4]
    )
    assert np.isfinite(result.residual).all()
    np.testing.assert_allclose(result.residual[4], expected.residual[4], atol=1e-4)
    assert "non-finite" in {note["code"] for note in result.run["notes"]}


def test_a_protocol_without_calibration_says_whose_scale_it_uses(phantom, tiny_model, caplog):
    result = detect(phantom.volume, model=tiny_model, protocol="interactive", slices=[2])
    assert result.run["calibration"] == "fast"
    assert "not calibrated for 'interactive'" in caplog.text


def test_provenance_names_everything_that_decides_the_result(expected):
    assert {
        "package_version",
        "dependencies",
        "model",
        "model_sha256",
        "input",
        "parameters",
        "seed",
        "device",
        "backend",
        "protocol",
        "started",
        "seconds",
        "denoiser_evaluations",
        "notes",
        "statement",
    } <= set(expected.run)


def test_air_is_refused(phantom, tiny_model):
    empty = dataclasses.replace(phantom.volume, hu=np.full_like(phantom.volume.hu, -1000))
    with pytest.raises(InputRefused, match="No brain"):
        detect(empty, model=tiny_model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "nope"}, "Unknown detector"),
        ({"protocol": "nope"}, "has no protocol"),
        ({"device": "tpu"}, "Unknown device"),
        ({"backend": "abacus"}, "backend"),
        ({"slices": [99]}, "between 0 and 5"),
    ],
)
def test_a_wrong_choice_is_refused_with_the_right_ones(phantom, tiny_model, options, message):
    with pytest.raises(InputRefused, match=message):
        detect(phantom.volume, **{"model": tiny_model, **options})


def test_a_missing_model_is_refused(phantom):
    with pytest.raises(InputRefused, match="no model 'nowhere'"):
        detect(phantom.volume, model="nowhere")


def test_the_nearest_completion_is_never_farther_than_the_mean_one(expected):
    nearest, residual = np.abs(expected.minimum_distance), np.abs(expected.residual)
    assert not nearest[~expected.brain_mask].any()
    # but for half precision, and between pixels of different sign
    assert (nearest <= residual + 0.5).mean() > 0.99
    assert 0 < nearest.sum() < residual.sum()


@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,)])
def test_every_square_lies_where_its_pixels_are(phantom, tiny_model, axes):
    """With one size and one offset, each pixel has the residual of its only square."""
    volume = stored_against(phantom.volume, axes)
    result = detect(volume, model=tiny_model, device="cpu", protocol="interactive", slices=[2])
    whole = [square for square in result.squares if square.covered == 1]
    assert len(whole) > 3
    for square in whole:
        assert square.slice == square.last_slice == 2
        assert square.size_mm == 32
        y, x = round(square.y + 0.5), round(square.x + 0.5)
        height, width = round(square.height), round(square.width)
        assert height == width == pytest.approx(32 / 1.25, abs=1)
        mean = result.residual[2, y : y + height, x : x + width].mean()
        assert mean == pytest.approx(square.mean_difference, abs=0.5)


def test_a_result_is_read_back_as_it_was_for_its_own_scan_only(phantom, expected, tmp_path):
    volume = phantom.volume
    write_detection(tmp_path, expected, volume)
    for again in (load_detection(tmp_path, volume), load_detection(tmp_path)):
        for name in vars(expected.maps):
            np.testing.assert_array_equal(getattr(again, name), getattr(expected, name), name)
            assert getattr(again, name).dtype == getattr(expected, name).dtype
        assert again.findings == expected.findings
        assert again.further == expected.further
        assert again.squares == expected.squares
        assert again.run == expected.run
        np.testing.assert_allclose(again.slice_scores, expected.slice_scores, atol=1e-4)
        np.testing.assert_array_equal(again.done, expected.done)
    other = dataclasses.replace(volume, hu=volume.hu + 1)
    with pytest.raises(InputRefused, match="another scan"):
        load_detection(tmp_path, other)
    (tmp_path / "findings.nii.gz").unlink()
    with pytest.raises(InputRefused, match="no complete result"):
        load_detection(tmp_path, volume)


class MeanOnly:
    """A detector that knows one completion and measures no squares."""

    def __init__(self, name, protocol, parameters, **options):
        self._grid = GridDetector(protocol, **options)

    def __getattr__(self, name):
        return getattr(self._grid, name)

    def run(self, *args, **options):
        for one in self._grid.run(*args, **options):
            yield SliceScores(one.index, one.residual, one.scales)


def test_a_detector_may_leave_out_squares_and_nearest_completion(
    phantom, expected, tiny_model, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_rsna_inpaint.detection.run.make_detector", MeanOnly)
    for _ in range(2):  # the second time from the store
        result = detect(phantom.volume, model=tiny_model, device="cpu", store=tmp_path)
        same(result, expected)
        assert result.squares == []
        np.testing.assert_allclose(result.minimum_distance, result.residual, atol=0.1)
