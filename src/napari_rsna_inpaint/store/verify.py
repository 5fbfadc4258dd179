"""Whether anything stored was changed behind the store's back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, text

from napari_rsna_inpaint.store import schema
from napari_rsna_inpaint.store.chain import START, canonical_json, link, sha256


def run_digest(study: str, run: str, findings: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 of a run with its findings, as they are stored."""
    columns = ("position", "id", "finding", "features")
    kept = [[finding[column] for column in columns] for finding in findings]
    return sha256(canonical_json([study, run, kept]))


def verify(connection: Connection) -> list[str]:
    """Sentences about everything that does not fit together; empty if the store is whole."""
    return [*_file(connection), *_chain(connection), *_runs(connection)]


def _file(connection: Connection) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        for (line,) in connection.execute(text("PRAGMA integrity_check")):
            if line != "ok":
                yield f"The file is damaged: {line}."


def _chain(connection: Connection) -> Iterator[str]:
    # the head first: others may append meanwhile
    head = connection.execute(select(schema.chain_head)).one()
    previous, number = START, 0
    for row in connection.execute(select(schema.events).order_by(schema.events.c.id)):
        event = row._asdict()
        if event["id"] > number + 1:
            yield _missing(number + 1, event["id"] - 1)
        elif event["previous"] != previous:
            yield f"Event {event['id']} does not follow the one before it: one was replaced."
        if event["hash"] != link(event["previous"], event):
            yield f"Event {event['id']} was changed after it was stored."
        previous, number = event["hash"], event["id"]
        if number == head.events and previous != head.hash:
            yield f"Event {number} is not the one that was stored last: it was replaced."
    if number < head.events:
        yield _missing(number + 1, head.events)


def _missing(first: int, last: int) -> str:
    return (
        f"Event {first} is missing." if first == last else f"Events {first} to {last} are missing."
    )


def _runs(connection: Connection) -> Iterator[str]:
    """Whether runs are as they were when readers judged them."""
    table = schema.events
    wanted = select(table.c.run, table.c.detail).where(table.c.kind == "run").order_by(table.c.id)
    digests = {run: json.loads(detail)["sha256"] for run, detail in connection.execute(wanted)}
    stored = {row.id: row for row in connection.execute(select(schema.runs))}
    findings: dict[str, list[Mapping[str, Any]]] = {}
    for row in connection.execute(select(schema.findings).order_by(schema.findings.c.position)):
        findings.setdefault(row.run, []).append(row._asdict())
    for run, digest in digests.items():
        kept = stored.get(run)
        if kept is None:
            yield f"Run {run} is missing."
        elif run_digest(kept.study, kept.run, findings.get(run, [])) != digest:
            yield f"Run {run} or its findings were changed after they were stored."
