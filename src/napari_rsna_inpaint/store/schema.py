"""Tables of the store, and how they came to be what they are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    inspect,
    select,
    text,
    update,
)

from napari_rsna_inpaint.store.chain import START

# Statements that SQLite and PostgreSQL both know. What was released is never changed: a new
# version adds a tuple, and `_metadata` below follows.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE schema_version (version INTEGER NOT NULL)",
        "INSERT INTO schema_version VALUES (0)",
        "CREATE TABLE chain_head ("
        " id INTEGER PRIMARY KEY CHECK (id = 1), events INTEGER NOT NULL, hash TEXT NOT NULL)",
        f"INSERT INTO chain_head VALUES (1, 0, '{START}')",
        "CREATE TABLE readers (name TEXT PRIMARY KEY, since TEXT NOT NULL)",
        "CREATE TABLE studies ("
        " id TEXT PRIMARY KEY, identity TEXT NOT NULL, created TEXT NOT NULL)",
        "CREATE TABLE runs ("
        " id TEXT PRIMARY KEY, study TEXT NOT NULL REFERENCES studies (id),"
        " created TEXT NOT NULL, run TEXT NOT NULL, folder TEXT)",
        "CREATE INDEX runs_of_study ON runs (study)",
        "CREATE TABLE findings ("
        " run TEXT NOT NULL REFERENCES runs (id), id TEXT NOT NULL, position INTEGER NOT NULL,"
        " finding TEXT NOT NULL, features TEXT, PRIMARY KEY (run, id))",
        "CREATE TABLE events ("
        " id INTEGER PRIMARY KEY, kind TEXT NOT NULL,"
        " study TEXT NOT NULL REFERENCES studies (id), run TEXT NOT NULL REFERENCES runs (id),"
        " finding TEXT, reader TEXT REFERENCES readers (name), at TEXT NOT NULL,"
        " detail TEXT NOT NULL, package_version TEXT NOT NULL, schema INTEGER NOT NULL,"
        " previous TEXT NOT NULL, hash TEXT NOT NULL)",
        "CREATE INDEX events_of_run ON events (run)",
        "CREATE INDEX events_of_study ON events (study)",
        "CREATE TABLE places ("
        " study TEXT NOT NULL REFERENCES studies (id),"
        " reader TEXT NOT NULL REFERENCES readers (name),"
        " place TEXT NOT NULL, PRIMARY KEY (study, reader))",
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
)
#: Version of the tables, and of the events in them.
VERSION = len(MIGRATIONS)

_metadata = MetaData()

schema_version = Table("schema_version", _metadata, Column("version", Integer))
chain_head = Table(
    "chain_head",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("events", Integer),
    Column("hash", Text),
)
readers = Table("readers", _metadata, Column("name", Text, primary_key=True), Column("since", Text))
studies = Table(
    "studies",
    _metadata,
    Column("id", Text, primary_key=True),
    Column("identity", Text),
    Column("created", Text),
)
runs = Table(
    "runs",
    _metadata,
    Column("id", Text, primary_key=True),
    Column("study", Text, ForeignKey("studies.id")),
    Column("created", Text),
    Column("run", Text),
    Column("folder", Text),
)
findings = Table(
    "findings",
    _metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("position", Integer),
    Column("finding", Text),
    Column("features", Text),
)
events = Table(
    "events",
    _metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text),
    Column("study", Text, ForeignKey("studies.id")),
    Column("run", Text, ForeignKey("runs.id")),
    Column("finding", Text),
    Column("reader", Text, ForeignKey("readers.name")),
    Column("at", Text),
    Column("detail", Text),
    Column("package_version", Text),
    Column("schema", Integer),
    Column("previous", Text),
    Column("hash", Text),
)
places = Table(
    "places",
    _metadata,
    Column("study", Text, ForeignKey("studies.id"), primary_key=True),
    Column("reader", Text, ForeignKey("readers.name"), primary_key=True),
    Column("place", Text),
)
settings = Table(
    "settings", _metadata, Column("key", Text, primary_key=True), Column("value", Text)
)
TABLES = _metadata.tables


def stored_version(connection: Connection) -> int | None:
    """Version of the tables that are there: 0 in an empty database, None in a foreign one."""
    names = inspect(connection).get_table_names()
    if schema_version.name in names:
        return connection.scalar(select(schema_version.c.version))
    return None if names else 0


def migrate(connection: Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring the tables up to date, inside the transaction of the connection."""
    for statements in migrations[stored_version(connection) or 0 :]:
        for statement in statements:
            connection.execute(text(statement))
    connection.execute(update(schema_version).values(version=len(migrations)))
