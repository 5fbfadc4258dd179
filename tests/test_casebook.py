"""Everything that was decided about a study is there when it is opened again."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.casebook import Casebook
from napari_rsna_inpaint.detection import result
from napari_rsna_inpaint.detection.base import SliceScores
from napari_rsna_inpaint.detection.drawn import drawn_finding
from napari_rsna_inpaint.detection.edits import Edit
from napari_rsna_inpaint.detection.identity import input_identity
from napari_rsna_inpaint.detection.result import Detection, Finding, Maps
from napari_rsna_inpaint.detection.resume import SliceStore
from napari_rsna_inpaint.errors import InputRefused, RsnaInpaintError
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.store import Store, open_store
from napari_rsna_inpaint.volume import CTVolume

SHAPE = (4, 48, 48)


@pytest.fixture(scope="module")
def volume() -> CTVolume:
    return head_phantom(1, shape=SHAPE, spacing=(5.0, 4.0, 4.0)).volume


@pytest.fixture
def detection(volume: CTVolume) -> Detection:
    labels = np.zeros(SHAPE, np.uint16)
    labels[1:3, 20:24, 20:24] = 1
    labels[2, 30:33, 20:23] = 2
    residual = (labels > 0) * np.float32(20)

    def finding(name: str, number: int) -> Finding:
        where = np.argwhere(labels == number)
        low, high = where.min(0), where.max(0) + 1
        return Finding(
            id=name,
            slices=(int(low[0]), int(high[0]) - 1),
            centroid_mm=(0.0, 0.0, 0.0),
            bbox=(*map(int, low), *map(int, high)),
            volume_ml=1.0,
            area_mm2=100.0,
            sign="hyper",
            score=0.9,
            mean_hu=60.0,
            mean_residual_hu=20.0,
            scales=[32.0],
        )

    return Detection(
        Maps(
            brain_mask=np.ones(SHAPE, bool),
            inpainted=volume.hu - residual,
            residual=residual,
            heatmap=(labels > 0) * np.float32(0.9),
            labels=labels,
            minimum_distance=residual,
        ),
        findings=[finding("F1", 1)],
        further=[finding("F2", 2)],
        slice_scores=np.zeros(SHAPE[0], np.float32),
        done=np.ones(SHAPE[0], bool),
        run={
            "statement": STATEMENT,
            "input": input_identity(volume),
            "model_sha256": "m",
            "protocol": "fast",
            "seed": 0,
        },
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "verdicts.sqlite") as store:
        yield store


def make(store: Store, volume: CTVolume, tmp_path: Path, reader: str = "anna") -> Casebook:
    return Casebook(store, reader, tmp_path / "results", input_identity(volume))


def begun(store: Store, volume: CTVolume, tmp_path: Path, detection: Detection) -> Casebook:
    case = make(store, volume, tmp_path)
    case.begin(detection, lambda: {"F1": [1.0], "F2": [2.0]})
    return case


def test_a_study_opened_again_has_its_run_images_verdicts_and_place(
    store: Store, volume: CTVolume, tmp_path: Path, detection: Detection
) -> None:
    case = begun(store, volume, tmp_path, detection)
    SliceStore(case.sections, {}).save(SliceScores(0, *np.zeros((2, 1, 4, 4), np.float32)))
    case.keep_images(case.run, detection, volume)
    assert not case.sections.exists(), "finished slices are of no use once the images are kept"
    case.decide("F1", "rejected", reason="calcification")
    case.note("F2", "old?")
    case.leave_at({"finding": "F2"})
    again = make(store, volume, tmp_path)
    run = again.last_run()
    shown = again.images(run, volume)
    again.run = run
    for name in ("brain_mask", "inpainted", "residual", "heatmap", "labels"):
        assert np.allclose(getattr(shown, name), getattr(detection, name)), name
    assert [one.id for one in shown.findings] == ["F1"]
    assert [one.id for one in shown.further] == ["F2"]
    verdicts = again.verdicts()
    assert (verdicts["F1"].verdict, verdicts["F1"].reason) == ("rejected", "calcification")
    assert verdicts["F2"].note == "old?"
    assert again.place() == {"finding": "F2", "run": run.id}


def test_of_a_very_long_series_the_finished_slices_are_kept_instead_of_images(
    store: Store,
    volume: CTVolume,
    tmp_path: Path,
    detection: Detection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(result, "ARRAY_VOXELS", 1000)
    case = begun(store, volume, tmp_path, detection)
    SliceStore(case.sections, {}).save(SliceScores(0, *np.zeros((2, 1, 4, 4), np.float32)))
    case.keep_images(case.run, detection, volume)
    assert case.sections.exists()
    assert case.images(case.run, volume) is None


def test_detecting_twice_the_same_keeps_the_verdicts_and_another_way_begins_anew(
    store: Store, volume: CTVolume, tmp_path: Path, detection: Detection
) -> None:
    case = begun(store, volume, tmp_path, detection)
    first = case.run
    case.decide("F1", "accepted")
    case.begin(deepcopy(detection), lambda: pytest.fail("nothing new to measure"))
    assert case.run.id == first.id
    assert case.verdicts()["F1"].verdict == "accepted"
    other = replace(detection, run={**detection.run, "protocol": "full"})
    case.begin(other, dict)
    assert case.run.id != first.id
    assert not case.verdicts()


def test_undo_goes_back_step_by_step_and_touches_nobody_elses_verdicts(
    store: Store, volume: CTVolume, tmp_path: Path, detection: Detection
) -> None:
    case = begun(store, volume, tmp_path, detection)
    case.decide("F1", "accepted")
    other = make(store, volume, tmp_path, reader="ben")
    other.run = case.run
    other.decide("F2", "unsure")
    case.decide("F1", "rejected", reason="streak")
    assert case.undo().detail["verdict"] == "rejected"
    assert case.verdicts()["F1"].verdict == "accepted"
    assert case.undo().detail["verdict"] == "accepted"
    assert case.undo() is None
    assert set(case.verdicts()) == {"F2"}


def test_what_was_drawn_comes_back_voxel_by_voxel(
    store: Store, volume: CTVolume, tmp_path: Path, detection: Detection
) -> None:
    case = begun(store, volume, tmp_path, detection)
    region = np.zeros(SHAPE, bool)
    region[3, 10:14, 11:19] = True
    finding = drawn_finding("S1", region, volume, detection.residual)
    assert finding.area_mm2 == pytest.approx(4 * 8 * 16.0)
    assert finding.volume_ml == pytest.approx(4 * 8 * 0.08)
    case.supplement(finding, region)
    case.supplement(drawn_finding("S1", region, volume, detection.residual), region)
    assert [one.finding.id for one in case.drawn()] == ["S1", "S2"]
    assert np.array_equal(case.drawn()[0].region, region)
    assert case.verdicts()["S1"].verdict == "supplemented"
    case.undo()
    assert [one.finding.id for one in case.drawn()] == ["S1"]


def an_edit(detection: Detection) -> Edit:
    box = (slice(1, 3), slice(20, 24), slice(20, 24))
    names = ("inpainted", "residual", "heatmap", "minimum_distance")
    before = {name: np.array(getattr(detection, name)[box], np.float32) for name in names}
    after = {name: values + np.float32(1) for name, values in before.items()}
    region = np.ones((2, 4, 4), bool)
    return Edit(SHAPE, box, region, before, after, seed=3, samples=4, model="m")


def test_an_accepted_completion_is_there_again_unless_it_was_taken_back(
    store: Store, volume: CTVolume, tmp_path: Path, detection: Detection
) -> None:
    case = begun(store, volume, tmp_path, detection)
    case.keep_images(case.run, detection, volume)
    event = case.edit(an_edit(detection))
    assert event.detail["seed"] == 3
    shown = make(store, volume, tmp_path).images(case.run, volume)
    assert np.allclose(shown.residual[1:3, 20:24, 20:24], 21)
    assert np.allclose(case.edit_of(event).before["residual"], 20)
    assert [edit.seed for edit in case.edits()[0]] == [3]
    case.undo()
    shown = make(store, volume, tmp_path).images(case.run, volume)
    assert np.allclose(shown.residual, detection.residual)


def test_a_damaged_completion_costs_neither_the_result_nor_the_other_completions(
    store: Store, volume: CTVolume, tmp_path: Path, detection: Detection
) -> None:
    case = begun(store, volume, tmp_path, detection)
    case.keep_images(case.run, detection, volume)
    for seed in (1, 2):
        case.edit(replace(an_edit(detection), seed=seed))
    damaged = sorted(case.folder(case.run).glob("edit_*"))[0]
    damaged.write_bytes(b"broken")
    edits, problem = case.edits()
    assert [edit.seed for edit in edits] == [2]
    assert damaged.name in problem
    shown = make(store, volume, tmp_path).images(case.run, volume)
    assert np.allclose(shown.residual[1:3, 20:24, 20:24], 21)


def test_images_that_are_gone_or_damaged_cost_no_verdict(
    store: Store, volume: CTVolume, tmp_path: Path, detection: Detection
) -> None:
    case = begun(store, volume, tmp_path, detection)
    case.decide("F1", "accepted")
    assert case.images(case.run, volume) is None
    case.keep_images(case.run, detection, volume)
    (case.folder(case.run) / "residual.nii.gz").write_bytes(b"broken")
    again = make(store, volume, tmp_path)
    with pytest.raises(InputRefused, match="damaged"):
        again.images(case.run, volume)
    again.begin(detection, dict)
    assert again.verdicts()["F1"].verdict == "accepted"
    again.keep_images(again.run, detection, volume)
    assert np.allclose(again.images(case.run, volume).residual, detection.residual)


def test_nothing_can_be_judged_before_there_is_a_result(
    store: Store, volume: CTVolume, tmp_path: Path
) -> None:
    with pytest.raises(RsnaInpaintError, match="Detect first"):
        make(store, volume, tmp_path).decide("F1", "accepted")
