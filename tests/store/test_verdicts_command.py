import csv
import json
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from store_samples import FEATURES, FINDINGS, IDENTITY

from napari_rsna_inpaint.commands import verdicts
from napari_rsna_inpaint.errors import InputRefused, OutputFailed, UsageError
from napari_rsna_inpaint.store import open_store, pack_region


def command(*arguments: str) -> int:
    parser = ArgumentParser()
    verdicts.add_arguments(parser)
    return verdicts.run(parser.parse_args(arguments))


@pytest.fixture
def filled(sqlite_place: str) -> str:
    """A store with a rejection, an acceptance that was undone, and a drawn region."""
    with open_store(sqlite_place) as store:
        study = store.put_study(IDENTITY)
        run = store.put_run(
            study,
            {"model_sha256": "abc", "input": {"path": "/mustermann"}},
            [{**FINDINGS[0], "centroid_mm": (1.0, -2.0, 3.5)}, FINDINGS[1]],
            "/home/mustermann/results",
            FEATURES,
        )
        store.record(
            run, "F1", "rejected", reader="R1", reason="noise", note="=Mustermann", opened=1.5
        )
        undone = store.record(run, "F2", "accepted", reader="R1")
        store.undo(undone.id, reader="R1")
        store.supplement(run, {"id": "S1"}, pack_region(np.ones((1, 2, 3), bool)), reader="R2")
    return sqlite_place


def test_a_table_has_one_row_an_event(filled, tmp_path, capsys):
    path = tmp_path / "verdicts.csv"
    assert command("export", "-o", str(path), "--store", filled) == 0
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["finding"], row["verdict"], row["counts"]) for row in rows] == [
        ("run", "", "", "0"),
        ("verdict", "F1", "rejected", "1"),
        ("verdict", "F2", "accepted", "0"),
        ("undo", "F2", "", "0"),
        ("supplement", "S1", "supplemented", "1"),
    ]
    assert [row["undone"] for row in rows] == ["0", "0", "1", "0", "0"]
    rejected = rows[1]
    assert (rejected["reason"], rejected["score"], rejected["last_slice"]) == ("noise", "0.9", "14")
    assert (rejected["x_mm"], rejected["y_mm"], rejected["z_mm"]) == ("1.0", "-2.0", "3.5")
    assert rejected["opened"] == "1970-01-01T00:00:01.500000+00:00"
    assert rejected["model_sha256"] == "abc"
    assert rows[3]["undoes"] == rows[2]["event"]
    assert all("not for diagnosis" in row["statement"] for row in rows)
    assert "not for diagnosis" in capsys.readouterr().err


def test_json_lines_hold_every_detail(filled, tmp_path):
    path = tmp_path / "verdicts.jsonl"
    assert command("export", "-o", str(path), "--store", filled, "--notes") == 0
    head, *lines = map(json.loads, path.read_text().splitlines())
    assert head["events"] == len(lines) == 5
    assert "not for diagnosis" in head["statement"]
    assert head["hash"] == lines[-1]["hash"]
    assert lines[1]["detail"]["note"] == "=Mustermann"
    assert lines[1]["features"] == FEATURES["F1"]
    assert lines[1]["measures"]["slices"] == [12, 14]
    assert lines[4]["detail"]["region"]["box"] == [0, 0, 0, 1, 2, 3]
    assert [line["counts"] for line in lines] == [False, True, False, False, True]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_nothing_that_could_name_somebody_leaves_unasked(filled, tmp_path, suffix):
    path = tmp_path / f"verdicts.{suffix}"
    command("export", "-o", str(path), "--store", filled)
    content = path.read_text()
    assert "rejected" in content
    for identifier in ("ustermann", IDENTITY["source_id"], IDENTITY["pixel_sha256"]):
        assert identifier not in content


def test_formulas_in_notes_are_harmless_in_a_table(filled, tmp_path):
    path = tmp_path / "verdicts.csv"
    command("export", "-o", str(path), "--store", filled, "--notes")
    assert '"\'=Mustermann"' in path.read_text()


def test_an_empty_store_is_exported(place, tmp_path):
    open_store(place).close()
    for suffix in ("csv", "jsonl"):
        path = tmp_path / f"verdicts.{suffix}"
        assert command("export", "-o", str(path), "--store", place) == 0
        assert len(path.read_text().splitlines()) == 1


def test_files_and_stores_that_are_none_are_refused(sqlite_place, tmp_path):
    with pytest.raises(InputRefused, match="no verdict store"):
        command("verify", "--store", sqlite_place)
    open_store(sqlite_place).close()
    with pytest.raises(UsageError, match=r"\.csv or \.jsonl"):
        command("export", "-o", str(tmp_path / "verdicts.xlsx"), "--store", sqlite_place)
    with pytest.raises(OutputFailed, match="folder"):
        command("export", "-o", str(tmp_path / "no" / "v.csv"), "--store", sqlite_place)


def test_verify_says_whole_or_what_is_broken(filled, capsys):
    assert command("verify", "--store", filled) == 0
    with open_store(filled) as store:
        assert (
            f"5 events, the last with the hash {store.events()[-1].hash}" in capsys.readouterr().out
        )
        with store._database.writing() as connection:
            connection.execute(text("DELETE FROM events WHERE id = 5"))
    assert command("verify", "--store", filled) == 1
    assert capsys.readouterr().err == "Event 5 is missing.\n"


def test_the_file_is_only_read(sqlite_place, tmp_path):
    with open_store(sqlite_place) as store:
        store.put_study(IDENTITY)
    before = Path(sqlite_place).read_bytes()
    command("verify", "--store", sqlite_place)
    command("export", "-o", str(tmp_path / "v.csv"), "--store", sqlite_place)
    assert Path(sqlite_place).read_bytes() == before
