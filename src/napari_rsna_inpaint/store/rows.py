"""Rows that are put into tables, in SQLite and PostgreSQL alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.store import schema

_READER_LENGTH = 64


def put_reader(connection: Connection, reader: str) -> None:
    """Make a reader known, unless he or she is.

    Raises
    ------
    InputRefused
        If the pseudonym is empty, too long or not printable.
    """
    if not (0 < len(reader) <= _READER_LENGTH and reader.isprintable() and reader.strip()):
        raise InputRefused(
            f"A reader needs a pseudonym of 1 to {_READER_LENGTH} printable characters; set it in "
            "the preferences."
        )
    put_once(connection, schema.readers, name=reader, since=now())


def put_once(connection: Connection, table: Table, **values: Any) -> None:
    """Insert a row, unless its key is there."""
    connection.execute(_insert(connection, table).values(values).on_conflict_do_nothing())


def put(connection: Connection, table: Table, **values: Any) -> None:
    """Insert a row, or replace the one with its key."""
    keys = [column.name for column in table.primary_key]
    connection.execute(
        _insert(connection, table)
        .values(values)
        .on_conflict_do_update(index_elements=keys, set_=values)
    )


def now() -> str:
    """UTC, ISO 8601 with microseconds."""
    return iso(datetime.now(UTC))


def iso(moment: datetime) -> str:
    """A moment as ISO 8601 with microseconds."""
    return moment.isoformat(timespec="microseconds")


def _insert(connection: Connection, table: Table) -> Any:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)
