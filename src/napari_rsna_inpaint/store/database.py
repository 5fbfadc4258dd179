"""One database, SQLite or PostgreSQL: transactions that are on disk when they end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from napari_rsna_inpaint.errors import InputRefused, OutputFailed, RsnaInpaintError

_SQLITE_FAILURES = {
    sqlite3.SQLITE_FULL: "the disk is full. Free some space and try again",
    sqlite3.SQLITE_READONLY: "it is read-only. Allow writing to it, or name another",
    sqlite3.SQLITE_BUSY: "another program holds it locked. Close that one and try again",
    sqlite3.SQLITE_LOCKED: "another program holds it locked. Close that one and try again",
    sqlite3.SQLITE_IOERR: "the disk reports an error. Check the disk, or name another place",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened. Check its folder, or name another place",
    sqlite3.SQLITE_PERM: "permission is denied. Allow writing to it, or name another",
}
_POSTGRES_FAILURES = {
    "53100": "the disk of the server is full. Ask its administrator for space",
    "55P03": "another program holds it locked. Try again",
    "42501": "the user has no right to do this. Ask the administrator of the server for it",
    "25006": "it is read-only. Ask the administrator of the server",
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Database:
    """Connections to one database.

    Parameters
    ----------
    url
        Of SQLAlchemy, with the driver ``sqlite`` or ``postgresql+psycopg``.
    wait_s
        How long to wait for other programs that are writing.

    Attributes
    ----------
    name
        For messages: path, or URL without the password.
    path
        File of SQLite, or None.
    """

    def __init__(self, url: URL, wait_s: float) -> None:
        sqlite = url.get_backend_name() == "sqlite"
        self.path = url.database if sqlite else None
        shown = url.set(drivername=url.get_backend_name())
        self.name = self.path or shown.render_as_string(hide_password=True)
        self._engine = _sqlite_engine(url, wait_s) if sqlite else _postgres_engine(url, wait_s)
        self._writer = self._engine.execution_options(writing=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read from.

        Raises
        ------
        InputRefused
            If the database is damaged.
        OutputFailed
            If it cannot be reached.
        """
        with self._in_one_sentence(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of it is on disk at the end, or nothing after an exception.

        Raises
        ------
        InputRefused
            If the database is damaged.
        OutputFailed
            If it cannot be written: disk full, read-only, locked, server out of reach.
        """
        with self._in_one_sentence(), self._writer.begin() as connection:
            yield connection

    def use_wal(self) -> None:
        """Let SQLite write ahead, so that readers and writers do not wait for each other."""
        # not in a transaction, which SQLAlchemy would begin
        with self._in_one_sentence():
            connection = self._engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
            finally:
                connection.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _in_one_sentence(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as problem:
            raise self._failure(problem.orig) from problem
        except (SQLAlchemyError, sqlite3.Error) as problem:
            raise self._failure(problem) from problem

    def _failure(self, problem: BaseException | None) -> RsnaInpaintError:
        cause = str(problem).strip().partition("\n")[0]
        if self.path is None:
            reason = _POSTGRES_FAILURES.get(
                getattr(problem, "sqlstate", None) or "",
                f"the server does not answer as it should ({cause}). Check the address, the user "
                "and the network",
            )
        else:
            # the low byte is the error, the others say more about it
            code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
            if code in _DAMAGED:
                return InputRefused(
                    f"The verdict store {self.name} is damaged or is none; it was left as it is. "
                    "Put a backup in its place, or move it away to begin a new one.",
                    "store-damaged",
                )
            reason = _SQLITE_FAILURES.get(
                code, f"the database reports an error ({cause}). Name another place"
            )
        return OutputFailed(f"The verdict store {self.name} could not be used: {reason}.")


def _sqlite_engine(url: URL, wait_s: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": wait_s})

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # transactions begin below
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer that began as a reader would fail where another one wrote in between.
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _postgres_engine(url: URL, wait_s: float) -> Engine:
    engine = create_engine(
        url,
        isolation_level="READ COMMITTED",  # appending locks the head of the chain
        pool_pre_ping=True,
        connect_args={"connect_timeout": max(2, round(wait_s)), "client_encoding": "utf8"},
    )

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.execute(f"SET lock_timeout = {round(wait_s * 1000)}")
        (durable,) = connection.execute("SHOW synchronous_commit").fetchone()
        if durable == "off":
            connection.execute("SET synchronous_commit = on")
        connection.commit()

    return engine
