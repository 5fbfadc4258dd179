"""What a reader decided stays, whatever happens next."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from store_samples import FINDINGS, IDENTITY

from napari_rsna_inpaint.errors import InputRefused, OutputFailed
from napari_rsna_inpaint.store import open_store

WRITER = Path(__file__).with_name("store_writer.py")


def start_writer(place: str, reader: str, count: int) -> subprocess.Popen:
    command = [sys.executable, str(WRITER), place, reader, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_every_recorded_verdict_survives_kill_9(place):
    writer = start_writer(place, "R1", 100_000)
    said = [int(writer.stdout.readline()) for _ in range(20)]
    writer.kill()
    said += [
        int(line) for line in writer.stdout.read().splitlines(keepends=True) if line[-1] == "\n"
    ]
    writer.stdout.close()
    assert writer.wait() != 0
    with open_store(place) as store:
        stored = [event.id for event in store.events() if event.kind == "verdict"]
        assert stored[: len(said)] == said
        # the last one may have been stored, and its number not yet said
        assert len(stored) - len(said) <= 1
        assert store.verify() == []


def test_three_windows_that_begin_a_store_at_once_lose_nothing(place):
    writers = [start_writer(place, f"R{number}", 30) for number in range(3)]
    said = [int(line) for writer in writers for line in writer.communicate(timeout=60)[0].split()]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with open_store(place) as store:
        events = store.events()
        assert store.verify() == []
    assert sorted(said) == [event.id for event in events if event.kind == "verdict"]
    assert len(events) == 3 * 31
    assert {event.reader for event in events} == {None, "R0", "R1", "R2"}


def test_every_commit_waits_for_the_disk(store):
    settings = ("journal_mode", "synchronous") if store._database.path else ("synchronous_commit",)
    show = "PRAGMA {}" if store._database.path else "SHOW {}"
    with store._database.writing() as connection:
        found = [connection.exec_driver_sql(show.format(name)).scalar() for name in settings]
    assert found in (["wal", 2], ["on"])  # 2 is FULL


def test_a_full_disk_is_said_and_what_was_stored_stays(sqlite_place):
    # The disk is full where SQLite may not take another page.
    with open_store(sqlite_place) as store:
        run = store.put_run(store.put_study(IDENTITY), {}, FINDINGS, None, None)
        store.record(run, "F1", "accepted", reader="R1")
        with store._database.reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1")
        with pytest.raises(OutputFailed, match=r"disk is full\. Free some space"):
            store.record(run, "F2", "rejected", reader="R1", note="x" * 100_000)
        assert set(store.verdicts(run)) == {"F1"}
        assert store.verdicts(run)["F1"].verdict == "accepted"
        with store._database.reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        store.record(run, "F2", "unsure", reader="R1")
        assert store.verdicts(run)["F2"].verdict == "unsure"
        assert store.verify() == []


def test_a_store_that_may_only_be_read_is_read(store, place, run):
    setting = (
        "PRAGMA query_only=ON" if store._database.path else "SET default_transaction_read_only = on"
    )
    with store._database.reading() as connection:
        connection.exec_driver_sql(setting)
        connection.commit()
    with pytest.raises(OutputFailed, match="read-only"):
        store.record(run, "F1", "accepted", reader="R1")
    assert store.verdicts(run) == {}


def test_a_locked_store_is_said_after_a_while(store, place, run):
    with open_store(place, wait_s=0.1) as other:
        with store._appending(), pytest.raises(OutputFailed, match="another program holds it"):
            other.record(run, "F1", "accepted", reader="R1")
        other.record(run, "F1", "accepted", reader="R1")
        assert other.verdicts(run)["F1"].verdict == "accepted"


def test_a_lost_connection_is_made_anew(pg_place):
    with open_store(pg_place) as store:
        run = store.put_run(store.put_study(IDENTITY), {}, FINDINGS, None, None)
        with store._database.reading() as connection:
            number = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        with open_store(pg_place) as other, other._database.writing() as connection:
            connection.exec_driver_sql(f"SELECT pg_terminate_backend({number}, 5000)")
        store.record(run, "F1", "accepted", reader="R1")
        assert store.verdicts(run)["F1"].verdict == "accepted"


@pytest.mark.parametrize("damage", ["text", "header", "middle"])
def test_a_damaged_file_is_refused_and_left_as_it_is(sqlite_place, damage):
    with open_store(sqlite_place) as store:
        run = store.put_run(store.put_study(IDENTITY), {"x": "y" * 50_000}, FINDINGS, None, None)
        store.record(run, "F1", "accepted", reader="R1")
    path = Path(sqlite_place)
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"verdicts\n" * 1000)
    elif damage == "header":
        content[:100] = bytes(100)
    else:
        content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(InputRefused, match=r"damaged.*backup"):
        open_store(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "places.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (id INTEGER)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(InputRefused, match="another program"):
        open_store(path)
    assert path.read_bytes() == content
