"""Where the store is, how it begins, and how it comes up to date."""

import os
import sqlite3
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect
from store_samples import FINDINGS, IDENTITY

from napari_rsna_inpaint.errors import InputRefused, OutputFailed
from napari_rsna_inpaint.store import open_store, schema
from napari_rsna_inpaint.store.database import Database
from napari_rsna_inpaint.store.open import default_place


def test_the_environment_names_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("RSNA_INPAINT_STORE", f"sqlite:///{tmp_path}/mine.db")
    with open_store() as store:
        assert store.name == str(tmp_path / "mine.db")
    monkeypatch.delenv("RSNA_INPAINT_STORE")
    assert default_place().endswith(os.path.join("napari-rsna-inpaint", "verdicts.sqlite"))


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_only_the_owner_can_read_it(sqlite_place):
    with open_store(sqlite_place) as store:
        store.put_study(IDENTITY)
        folder = Path(sqlite_place).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(
        ("verdicts.sqlite", "verdicts.sqlite-wal", "verdicts.sqlite-shm"), 0o600
    )


def test_a_place_that_is_none_is_refused(tmp_path):
    for place in ("mysql://host/database", "nothing://x", "https://host/store", "sqlite://"):
        with pytest.raises(InputRefused, match="postgresql://"):
            open_store(place)
    with pytest.raises(InputRefused, match="is a folder"):
        open_store(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputFailed, match="name another place"):
        open_store(tmp_path / "file" / "verdicts.sqlite")


def test_a_store_that_is_not_there_is_not_made_unasked(sqlite_place, pg_place):
    for place in (sqlite_place, pg_place):
        with pytest.raises(InputRefused, match="no verdict store"):
            open_store(place, create=False)
    assert not Path(sqlite_place).exists()


def test_a_server_out_of_reach_is_said_without_the_password(tmp_path):
    with pytest.raises(OutputFailed, match="does not answer") as caught:
        open_store(f"postgresql://reader:secret@/db?host={tmp_path}")
    assert "postgresql://reader:***@/db" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputRefused, match=r"napari-rsna-inpaint\[postgres\]"):
        open_store("postgresql://host/database")


def test_the_migrations_make_the_tables_that_are_used(store):
    with store._database.reading() as connection:
        found = inspect(connection)
        for name, table in schema.TABLES.items():
            columns = {column["name"]: type(column["type"]) for column in found.get_columns(name)}
            assert columns == {column.name: _stored(column) for column in table.columns}
            assert found.get_pk_constraint(name)["constrained_columns"] == [
                column.name for column in table.primary_key
            ]
        assert set(found.get_table_names()) == set(schema.TABLES)


def _stored(column):
    from sqlalchemy import INTEGER, TEXT

    return {"INTEGER": INTEGER, "TEXT": TEXT}[str(column.type)]


def test_a_newer_store_is_refused(place):
    newer = (*schema.MIGRATIONS, ("ALTER TABLE readers ADD COLUMN role TEXT",))
    open_store(place, migrations=newer).close()
    with pytest.raises(InputRefused, match=r"newer version.*update napari-rsna-inpaint"):
        open_store(place)


def test_an_older_store_is_brought_up_to_date_after_a_backup(place, tmp_path):
    with open_store(place) as store:
        run = store.put_run(store.put_study(IDENTITY), {}, FINDINGS, None, None)
        store.record(run, "F1", "accepted", reader="R1")
    newer = (*schema.MIGRATIONS, ("ALTER TABLE readers ADD COLUMN role TEXT",))
    with open_store(place, migrations=newer) as store:
        assert store.verdicts(run)["F1"].verdict == "accepted"
        assert store.verify() == []
    open_store(place, migrations=newer).close()
    if "://" in place:
        return
    (copy,) = Path(place).parent.glob("verdicts-version1-*.sqlite")
    assert copy.stat().st_mode & 0o777 == 0o600
    with open_store(copy) as old:
        assert old.verdicts(run)["F1"].verdict == "accepted"


def test_a_store_that_another_window_updates_meanwhile_is_updated_once(sqlite_place, monkeypatch):
    open_store(sqlite_place).close()
    newer = (*schema.MIGRATIONS, ("ALTER TABLE readers ADD COLUMN role TEXT",))

    def meanwhile(database):
        monkeypatch.undo()
        open_store(sqlite_place, migrations=newer).close()

    monkeypatch.setattr(Database, "use_wal", meanwhile)
    open_store(sqlite_place, migrations=newer).close()
    assert len(list(Path(sqlite_place).parent.glob("*version1*"))) == 1


def test_a_migration_that_fails_leaves_the_old_version(place):
    with open_store(place) as store:
        run = store.put_run(store.put_study(IDENTITY), {}, FINDINGS, None, None)
    failing = ("ALTER TABLE readers ADD COLUMN role TEXT", "UPDATE nothing SET role = ''")
    with pytest.raises(OutputFailed, match="nothing"):
        open_store(place, migrations=(*schema.MIGRATIONS, failing))
    with open_store(place) as store:
        store.record(run, "F1", "accepted", reader="R1")
        with store._database.reading() as connection:
            columns = [column["name"] for column in inspect(connection).get_columns("readers")]
    assert columns == ["name", "since"]


def test_no_migration_without_a_backup(sqlite_place, monkeypatch):
    open_store(sqlite_place).close()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OutputFailed, match="No space left"):
        open_store(sqlite_place, migrations=(*schema.MIGRATIONS, ()))
    monkeypatch.undo()
    connection = sqlite3.connect(sqlite_place)
    assert connection.execute("SELECT version FROM schema_version").fetchone() == (1,)
    connection.close()
