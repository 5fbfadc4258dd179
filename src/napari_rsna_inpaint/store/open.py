"""Find the store, make it or bring it up to date."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from platformdirs import user_data_path
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from napari_rsna_inpaint.errors import InputRefused, OutputFailed
from napari_rsna_inpaint.store.database import Database
from napari_rsna_inpaint.store.schema import MIGRATIONS, migrate, stored_version
from napari_rsna_inpaint.store.store import Store

#: Environment variable that names the store: a path or a URL.
VARIABLE = "RSNA_INPAINT_STORE"
#: How long to wait for other windows that are writing, seconds.
WAIT_S = 5.0


def default_place() -> str:
    """Where the store is unless someone says otherwise."""
    folder = user_data_path("napari-rsna-inpaint", appauthor=False)
    return os.environ.get(VARIABLE) or str(folder / "verdicts.sqlite")


def open_store(
    place: str | os.PathLike[str] | None = None,
    *,
    create: bool = True,
    wait_s: float = WAIT_S,
    migrations: Sequence[Sequence[str]] = MIGRATIONS,
) -> Store:
    """Open the store of verdicts; may be used from several threads.

    Parameters
    ----------
    place
        Path of an SQLite file or URL (``postgresql://user@host/database``); default: what the
        environment variable ``RSNA_INPAINT_STORE`` names, or a file in the user's data folder.
    create
        Whether to begin a new store where there is none.
    wait_s
        How long to wait for other windows that are writing, seconds.
    migrations
        Statements from each version of the tables to the next.

    Raises
    ------
    InputRefused
        If there is none and none is to be made, if it is damaged, of a newer version or of another
        program, or the address is none.
    OutputFailed
        If it cannot be opened or made.
    """
    url = _url(os.fspath(place) if place is not None else default_place())
    if url.database and url.get_backend_name() == "sqlite":
        _prepare_file(Path(url.database), create)
    database = Database(url, wait_s)
    try:
        _bring_up_to_date(database, create, migrations)
    except BaseException:
        database.close()
        raise
    return Store(database)


def _url(place: str) -> URL:
    if "://" not in place:
        return URL.create("sqlite", database=str(Path(place).expanduser().absolute()))
    try:
        url = make_url(place)
        backend = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        backend = ""
    if backend == "sqlite" and url.database:
        return _url(url.database)
    if backend != "postgresql":
        raise InputRefused(
            "The place of the verdict store is neither a path nor the address of a PostgreSQL "
            "server; write it as postgresql://user@host/database.",
            "store-address",
        )
    try:
        import psycopg  # noqa: F401
    except ImportError as problem:
        raise InputRefused(
            "A verdict store on a server needs psycopg: pip install "
            "'napari-rsna-inpaint[postgres]'.",
            "store-driver",
        ) from problem
    return url.set(drivername="postgresql+psycopg")


def _prepare_file(path: Path, create: bool) -> None:
    """Make the file, empty and readable by its owner alone; SQLite's others follow it."""
    if not create and not path.exists():
        raise _absent(str(path))
    if path.is_dir():
        raise InputRefused(f"{path} is a folder; name a file for the verdict store in it.")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600))
    except OSError as problem:
        raise OutputFailed(
            f"The verdict store {path} cannot be opened ({problem.strerror}); name another place."
        ) from problem


def _absent(name: str) -> InputRefused:
    return InputRefused(
        f"There is no verdict store {name} yet; the workstation makes it, or name another.",
        "store-absent",
    )


def _bring_up_to_date(
    database: Database, create: bool, migrations: Sequence[Sequence[str]]
) -> None:
    with database.reading() as connection:
        found = stored_version(connection)
    if found is None:
        raise InputRefused(
            f"{database.name} is the database of another program; name another place for the "
            "verdict store.",
            "store-foreign",
        )
    if found == 0 and not create:
        raise _absent(database.name)
    if found > len(migrations):
        raise InputRefused(
            f"The verdict store {database.name} was written by a newer version of this program "
            f"(tables of version {found}, this one knows {len(migrations)}); update "
            "napari-rsna-inpaint.",
            "store-newer",
        )
    if database.path:
        database.use_wal()
    if found == len(migrations):
        return
    with database.writing() as connection:
        if database.path is None:
            # two programs must not do this at once
            connection.execute(text("SELECT pg_advisory_xact_lock(5204715)"))
        found = stored_version(connection)
        if found == len(migrations):
            return  # another window did it meanwhile
        if database.path and found:
            _back_up(Path(database.path), found)
        migrate(connection, migrations)


def _back_up(path: Path, version: int) -> None:
    """Copy an SQLite file with what is committed to it; readable by its owner alone."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    copy = path.with_name(f"{path.stem}-version{version}-{now}{path.suffix}")
    try:
        os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        source, target = sqlite3.connect(path), sqlite3.connect(copy)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
    except (OSError, sqlite3.Error) as problem:
        raise OutputFailed(
            f"The verdict store {path} needs an update, but no backup of it can be written to its "
            f"folder ({problem}); free some space and open it again."
        ) from problem
