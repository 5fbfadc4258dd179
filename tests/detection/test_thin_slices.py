"""Thin slices are averaged for the detection and get its result back, every one of them."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from napari_rsna_inpaint import detect
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.volume import CTVolume

FIELDS = ("brain_mask", "inpainted", "residual", "heatmap", "labels")


def repeated(volume: CTVolume, times: int) -> CTVolume:
    """Every slice so many times, at a distance so much smaller."""
    affine = volume.affine.copy()
    affine[:, 0] /= times
    steps = np.arange(times * len(volume.hu))[:, None]
    return CTVolume(
        np.repeat(volume.hu, times, axis=0),
        affine,
        volume.positions[0] + steps * affine[:3, 0],
    )


def upside_down(volume: CTVolume) -> CTVolume:
    affine = volume.affine.copy()
    affine[:3, 3] = volume.positions[-1]
    affine[:3, 0] *= -1
    return dataclasses.replace(
        volume, hu=volume.hu[::-1], affine=affine, positions=volume.positions[::-1]
    )


@pytest.fixture(scope="module")
def thick():
    return head_phantom(
        seed=3, bleed="intraparenchymal", shape=(8, 160, 160), spacing=(2.5, 1.25, 1.25)
    ).volume


@pytest.fixture(scope="module")
def expected(thick, tiny_model):
    detection = detect(thick, model=tiny_model, device="cpu")
    assert detection.findings
    return detection


@pytest.mark.parametrize("turn", [lambda v: v, upside_down], ids=["up", "down"])
@pytest.mark.parametrize("times", [2, 3])
def test_repeated_slices_give_the_repeated_result(thick, expected, tiny_model, times, turn):
    thin = turn(repeated(thick, times))
    detection = detect(thin, model=tiny_model, device="cpu")
    back = slice(None, None, -1 if turn is upside_down else None)
    for name in FIELDS:
        wanted = np.repeat(getattr(expected, name), times, axis=0)[back]
        np.testing.assert_array_equal(getattr(detection, name), wanted, err_msg=name)
    np.testing.assert_array_equal(
        detection.slice_scores, np.repeat(expected.slice_scores, times)[back]
    )
    assert detection.run["denoiser_evaluations"] == expected.run["denoiser_evaluations"]
    for one, other in zip(detection.findings, expected.findings, strict=True):
        assert one.volume_ml == pytest.approx(other.volume_ml)
        assert one.area_mm2 == pytest.approx(other.area_mm2)
        assert one.scales == other.scales
        first, last = one.slices
        assert last - first + 1 == times * (other.slices[1] - other.slices[0] + 1)


def test_it_is_said(thick, expected, tiny_model, caplog):
    detection = detect(repeated(thick, 5), model=tiny_model, device="cpu", slices=[20])
    notes = {note["code"]: note["message"] for note in detection.run["notes"]}
    assert "5 at a time" in notes["thin-slices"]
    assert "5 at a time" in caplog.text
    assert "thin-slices" not in [note["code"] for note in expected.run["notes"]]


def test_one_slice_stands_for_its_section(thick, tiny_model):
    seen = []
    detection = detect(
        repeated(thick, 2),
        model=tiny_model,
        device="cpu",
        slices=[9],
        on_progress=lambda done, total, part: seen.append(part and part.index),
    )
    assert [z for z in seen if z is not None] == [8, 9]
    assert np.flatnonzero(detection.done).tolist() == [8, 9]


def test_a_long_series_takes_little_memory(thick, tiny_model):
    """Result and working memory stay below the volume itself, not at many times it."""
    volume = repeated(thick, 60)
    detect(volume, model=tiny_model, device="cpu", slices=[0])
    tracemalloc.start()
    detection = detect(volume, model=tiny_model, device="cpu")
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert detection.done.any()
    assert peak < volume.hu.nbytes
    assert held < 0.33 * volume.hu.nbytes
