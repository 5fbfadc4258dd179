from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from store_samples import FEATURES, FINDINGS, IDENTITY

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.store import open_store, pack_region, unpack_region


def test_the_same_series_is_one_study_and_another_one_is_not(store):
    study = store.put_study(IDENTITY)
    measured_elsewhere = {**IDENTITY, "spacing_mm": (5, 0.48828100001, 0.488281)}
    assert store.put_study(measured_elsewhere) == study
    assert store.put_study({**IDENTITY, "source_id": "other"}) != study


def test_an_identity_with_a_name_in_it_is_refused(store):
    with pytest.raises(ValueError, match="patient"):
        store.put_study({**IDENTITY, "patient": "Doe"})


def test_runs_come_back_newest_first_with_findings_and_features(store):
    study = store.put_study(IDENTITY)
    first = store.put_run(study, {"protocol": "fast"}, FINDINGS, None, FEATURES)
    values = {"level": np.float32(0.5), "missing": float("nan")}
    second = store.put_run(study, values, [], "/results/2", None)
    newest, oldest = store.runs(study)
    assert (newest.id, newest.folder, newest.findings) == (second, "/results/2", [])
    assert newest.run == {"level": 0.5, "missing": None}
    assert (oldest.id, oldest.features) == (first, FEATURES)
    assert oldest.findings[0] == {**FINDINGS[0], "slices": [12, 14]}
    assert store.runs("unknown") == []


def test_the_last_verdict_counts_and_its_note_stays(store, run):
    store.record(run, "F1", "rejected", reader="R1", reason="cyst", note="old cyst")
    last = store.record(run, "F1", "accepted", reader="R2", opened=0.0, context={"level": 40})
    verdict = store.verdicts(run)["F1"]
    assert (verdict.verdict, verdict.reason, verdict.note) == ("accepted", None, "old cyst")
    assert (verdict.reader, verdict.event_id, verdict.at) == ("R2", last.id, last.at)
    assert last.detail["opened"] == "1970-01-01T00:00:00.000000+00:00"
    assert last.detail["context"] == {"level": 40}
    assert "F2" not in store.verdicts(run)


def test_a_note_replaces_the_earlier_note_and_not_the_verdict(store, run):
    store.record(run, "F1", "unsure", reader="R1", note="see MR")
    store.note(run, "F1", "", reader="R1")
    store.note(run, "F2", "naïve ⚕ \x00", reader="R1")
    verdicts = store.verdicts(run)
    assert (verdicts["F1"].verdict, verdicts["F1"].note) == ("unsure", "")
    assert (verdicts["F2"].verdict, verdicts["F2"].note) == (None, "naïve ⚕ \x00")


def test_undo_brings_back_what_was_before_and_can_be_undone(store, run):
    store.record(run, "F1", "accepted", reader="R1")
    second = store.record(run, "F1", "rejected", reader="R1", reason="streak")
    undo = store.undo(second.id, reader="R1")
    assert store.verdicts(run)["F1"].verdict == "accepted"
    assert [event.reverted for event in store.events(run=run)] == [False, False, True, False]
    with pytest.raises(InputRefused, match="undone already"):
        store.undo(second.id, reader="R2")
    store.undo(undo.id, reader="R1")
    assert store.verdicts(run)["F1"].reason == "streak"


def test_a_run_and_what_is_not_there_cannot_be_undone(store, run):
    (made,) = store.events(run=run)
    for number in (made.id, 99):
        with pytest.raises(InputRefused, match="no decision"):
            store.undo(number, reader="R1")


def test_a_drawn_region_comes_back_voxel_by_voxel(store, run):
    mask = np.zeros((5, 40, 30), bool)
    mask[2:4, 7:23, 5:18] = np.random.default_rng(0).random((2, 16, 13)) > 0.5
    first = store.supplement(run, {"id": "S1"}, pack_region(mask), reader="R1", note="thin")
    second = store.supplement(run, {"id": "S1"}, pack_region(mask), reader="R2")
    assert (first.finding, second.finding) == ("S1", "S2")
    assert second.detail["finding"]["id"] == "S2"
    stored = store.events(run=run)[1]
    np.testing.assert_array_equal(unpack_region(stored.region), mask)
    assert store.verdicts(run)["S1"].verdict == "supplemented"
    assert store.verdicts(run)["S1"].note == "thin"
    store.undo(first.id, reader="R1")
    assert set(store.verdicts(run)) == {"S2"}


def test_an_empty_and_a_full_region_come_back():
    for mask in (np.zeros((2, 3, 5), bool), np.ones((2, 3, 5), bool)):
        np.testing.assert_array_equal(unpack_region(pack_region(mask)), mask)


def test_an_edit_keeps_its_parameters_and_can_be_undone(store, run):
    event = store.edit(run, {"seed": 7, "slices": (3, 4)}, reader="R1")
    assert store.events(run=run)[-1].detail == {"seed": 7, "slices": [3, 4]}
    store.undo(event.id, reader="R1")
    assert store.events(run=run)[1].reverted


def test_words_readers_and_findings_that_are_none_are_refused(store, run):
    with pytest.raises(ValueError, match="maybe"):
        store.record(run, "F1", "maybe", reader="R1")
    with pytest.raises(ValueError, match="because"):
        store.record(run, "F1", "rejected", reader="R1", reason="because")
    for reader in ("", " ", "x" * 65, "a\nb"):
        with pytest.raises(InputRefused, match="pseudonym"):
            store.record(run, "F1", "accepted", reader=reader)
    with pytest.raises(InputRefused, match="F9"):
        store.record(run, "F9", "accepted", reader="R1")
    with pytest.raises(InputRefused, match="run"):
        store.record("unknown", "F1", "accepted", reader="R1")
    with pytest.raises(InputRefused, match="study"):
        store.put_run("unknown", {}, [], None, None)
    assert [event.kind for event in store.events()] == ["run"]
    assert store.verify() == []


def test_annotated_findings_of_all_studies(store, run):
    other = store.put_study({**IDENTITY, "source_id": "other"})
    second = store.put_run(other, {}, FINDINGS[:1], None, None)
    store.record(run, "F2", "rejected", reader="R1", reason="noise")
    undone = store.record(run, "F1", "accepted", reader="R1")
    store.undo(undone.id, reader="R1")
    store.note(run, "F1", "only a note", reader="R1")
    store.record(second, "F1", "accepted", reader="R1")
    store.supplement(
        second, {"id": "S1", "score": 0.0}, pack_region(np.ones((1, 1, 1), bool)), reader="R1"
    )
    rows = [
        (row.run, row.finding["id"], row.features, row.verdict, row.reason)
        for row in store.annotated()
    ]
    assert rows == [
        (run, "F2", FEATURES["F2"], "rejected", "noise"),
        (second, "F1", None, "accepted", None),
        (second, "S1", None, "supplemented", None),
    ]
    assert next(store.annotated()).finding["slices"] == [20, 20]


def test_places_and_settings_are_the_last_ones(store, run):
    study = store.put_study(IDENTITY)
    assert store.place(study, "R1") is None
    store.set_place(study, "R1", {"run": run, "point": (1.5, 2, 3)})
    store.set_place(study, "R1", {"run": run, "point": (4, 5, 6)})
    store.set_place(study, "R2", {"run": run})
    assert store.place(study, "R1") == {"run": run, "point": [4, 5, 6]}
    assert store.setting("operating point") is None
    store.set_setting("operating point", {"k": 3})
    store.set_setting("operating point", {"k": 2})
    assert store.setting("operating point") == {"k": 2}


def test_everything_is_there_after_reopening(place, store, run):
    store.record(run, "F1", "rejected", reader="R1", reason="falx-tentorium-sinus")
    before = store.events()
    store.close()
    with open_store(place) as reopened:
        assert reopened.events() == before
        assert reopened.verdicts(run)["F1"].reason == "falx-tentorium-sinus"


def test_one_store_serves_several_threads(store, run):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.record(run, "F1", "accepted", reader=f"R{n}"), range(12)))
    assert len(store.events(run=run)) == 13
    assert store.verify() == []
