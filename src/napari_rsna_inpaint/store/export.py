"""All events as a table or as JSON lines, with nothing that names a patient."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_rsna_inpaint import STATEMENT, __version__
from napari_rsna_inpaint.errors import UsageError
from napari_rsna_inpaint.io.write import write_atomic, write_csv
from napari_rsna_inpaint.store.chain import START, canonical_json
from napari_rsna_inpaint.store.records import Event
from napari_rsna_inpaint.store.replay import current_verdicts
from napari_rsna_inpaint.store.store import Store

#: Columns of the table, in order.
COLUMNS = (
    "event",
    "at",
    "study",
    "run",
    "kind",
    "finding",
    "verdict",
    "reason",
    "note",
    "reader",
    "opened",
    "counts",
    "undone",
    "undoes",
    "first_slice",
    "last_slice",
    "x_mm",
    "y_mm",
    "z_mm",
    "volume_ml",
    "area_mm2",
    "sign",
    "score",
    "mean_hu",
    "mean_residual_hu",
    "model_sha256",
    "package_version",
    "hash",
    "statement",
)
_MEASURES = ("volume_ml", "area_mm2", "sign", "score", "mean_hu", "mean_residual_hu")


def export(store: Store, path: Path, *, notes: bool = False) -> int:
    """Write all events, those that were undone as well.

    Parameters
    ----------
    store
        Where they are.
    path
        Ends with ``.csv`` (a table) or ``.jsonl`` (JSON lines, with all details).
    notes
        Whether to write the readers' notes: free text, which could name somebody.

    Returns
    -------
    int
        Number of events.

    Raises
    ------
    UsageError
        If the name ends otherwise.
    OutputFailed
        If the file cannot be written.
    """
    if path.suffix not in {".csv", ".jsonl"}:
        raise UsageError(f"Name a file that ends with .csv or .jsonl, not {path.name}.")
    lines = [line if notes else _without_note(line) for line in _lines(store)]
    if path.suffix == ".csv":
        write_csv(path, map(_row, lines), COLUMNS)
        return len(lines)
    head = {
        "schema": 1,
        "statement": STATEMENT,
        "package_version": __version__,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "events": len(lines),
        "hash": lines[-1]["hash"] if lines else START,
    }
    text = "".join(canonical_json(line) + "\n" for line in (head, *lines))
    write_atomic(path, text.encode())
    return len(lines)


def _lines(store: Store) -> Iterator[dict[str, Any]]:
    """Every event with its finding, the features of that, and whether it is the verdict."""
    runs = {run.id: run for run in store.runs()}
    by_run: dict[str, list[Event]] = {}
    events = [event for event in store.events() if event.run in runs]
    for event in events:
        by_run.setdefault(event.run, []).append(event)
    measures: dict[tuple[str, str | None], dict[str, Any]] = {}
    counting: set[int] = set()
    for key, those in by_run.items():
        measures |= {(key, finding["id"]): finding for finding in runs[key].findings}
        measures |= {(key, e.finding): e.detail["finding"] for e in those if e.kind == "supplement"}
        counting |= {now.event_id for now in current_verdicts(those).values() if now.verdict}
    for event in events:
        run = runs[event.run]
        yield {
            **dataclasses.asdict(event),
            "counts": event.id in counting,
            "measures": measures.get((event.run, event.finding)),
            "features": run.features.get(event.finding or ""),
            "model_sha256": run.run.get("model_sha256"),
        }


def _without_note(line: dict[str, Any]) -> dict[str, Any]:
    detail = {name: value for name, value in line["detail"].items() if name != "note"}
    return {**line, "detail": detail}


def _row(line: dict[str, Any]) -> dict[str, Any]:
    detail, measures = line["detail"], line["measures"] or {}
    drawn = line["kind"] == "supplement"
    first, last = measures.get("slices", (None, None))
    x, y, z = measures.get("centroid_mm", (None, None, None))
    return {
        **{name: line[name] for name in ("at", "study", "run", "kind", "finding", "reader")},
        **{name: line[name] for name in ("hash", "package_version", "model_sha256")},
        **{name: detail.get(name) for name in ("reason", "note", "opened")},
        **{name: measures.get(name) for name in _MEASURES},
        "event": line["id"],
        "verdict": "supplemented" if drawn else detail.get("verdict"),
        "counts": int(line["counts"]),
        "undone": int(line["reverted"]),
        "undoes": detail.get("event"),
        "first_slice": first,
        "last_slice": last,
        "x_mm": x,
        "y_mm": y,
        "z_mm": z,
        "statement": STATEMENT,
    }
