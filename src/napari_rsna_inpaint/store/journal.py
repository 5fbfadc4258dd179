"""The events: read in order, appended one at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from napari_rsna_inpaint import __version__
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.store import schema
from napari_rsna_inpaint.store.chain import canonical_json, link
from napari_rsna_inpaint.store.records import Event
from napari_rsna_inpaint.store.replay import mark_reverted
from napari_rsna_inpaint.store.rows import now, put_reader


def read_events(
    connection: Connection, study: str | None = None, run: str | None = None
) -> list[Event]:
    """All events, or those of a study or a run, in order, with those marked that were undone."""
    table = schema.events
    wanted = select(table).order_by(table.c.id)
    if study is not None:
        wanted = wanted.where(table.c.study == study)
    if run is not None:
        wanted = wanted.where(table.c.run == run)
    return mark_reverted([_event(row._asdict()) for row in connection.execute(wanted)])


class Journal:
    """The end of the chain inside one transaction; nobody else appends meanwhile.

    Parameters
    ----------
    connection
        Of a transaction that writes.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # SQLite has one writer at a time anyway
        self._head = connection.execute(select(schema.chain_head).with_for_update()).one()

    def append(
        self,
        kind: str,
        study: str,
        run: str,
        finding: str | None,
        reader: str | None,
        detail: Mapping[str, Any],
    ) -> Event:
        """Append one event; the fields are those of `Event`."""
        if reader is not None:
            put_reader(self.connection, reader)
        row = {
            "id": self._head.events + 1,
            "kind": kind,
            "study": study,
            "run": run,
            "finding": finding,
            "reader": reader,
            "at": now(),
            "detail": canonical_json(detail),
            "package_version": __version__,
            "schema": schema.VERSION,
        }
        row["previous"] = self._head.hash
        row["hash"] = link(self._head.hash, row)
        self.connection.execute(schema.events.insert(), row)
        self.connection.execute(
            schema.chain_head.update().values(events=row["id"], hash=row["hash"])
        )
        return _event(row)

    def find(self, event_id: int) -> Event | None:
        """An event by its number, or None."""
        run = self.connection.scalar(select(schema.events.c.run).filter_by(id=event_id))
        events = read_events(self.connection, run=run) if run else []
        return next((event for event in events if event.id == event_id), None)

    def study_of(self, run: str) -> str:
        """Study of a run; raises ``InputRefused`` where the run is not in the store."""
        study = self.connection.scalar(select(schema.runs.c.study).filter_by(id=run))
        if study is None:
            raise InputRefused("The run is not in the verdict store; store it first.")
        return study

    def require_finding(self, run: str, finding: str) -> None:
        """Raise ``InputRefused`` where the run has no such finding, found or drawn."""
        if not self._has(run, finding):
            raise InputRefused(f"The run has no finding {finding}; nothing was stored.")

    def free_name(self, run: str, wished: str) -> str:
        """The wished identity of a drawn finding, or the next free one."""
        name, number = wished, 0
        while self._has(run, name):
            number += 1
            name = f"S{number}"
        return name

    def _has(self, run: str, finding: str) -> bool:
        found = select(func.count()).select_from(schema.findings).filter_by(run=run, id=finding)
        drawn = (
            select(func.count())
            .select_from(schema.events)
            .filter_by(run=run, finding=finding, kind="supplement")
        )
        return any(self.connection.scalar(count) for count in (found, drawn))


def _event(row: Mapping[str, Any]) -> Event:
    return Event(**{**row, "detail": json.loads(row["detail"])})
