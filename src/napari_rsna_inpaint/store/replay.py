"""What counts now, from everything that happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_rsna_inpaint.store.records import Event, Verdict


def mark_reverted(events: Sequence[Event]) -> list[Event]:
    """The events of a run, in order, with those marked that were undone.

    Undoing an undo brings back what it had undone.
    """
    undone: set[int] = set()
    for event in reversed(events):
        if event.kind == "undo" and event.id not in undone:
            undone.add(event.detail["event"])
    return [replace(event, reverted=event.id in undone) for event in events]


def current_verdicts(events: Sequence[Event]) -> dict[str, Verdict]:
    """Verdict and note that count for every finding of a run, by identity of the finding.

    The last verdict counts, and the last note; a verdict without a note keeps the earlier one.
    """
    found: dict[str, Verdict] = {}
    for event in events:
        if event.reverted or event.finding is None or event.kind not in _JUDGING:
            continue
        before = found.get(event.finding)
        note = event.detail["note"]
        if event.kind == "note" and before is not None:
            found[event.finding] = replace(before, note=note)
            continue
        if event.kind == "verdict" and not note and before is not None:
            note = before.note
        found[event.finding] = Verdict(
            finding=event.finding,
            verdict=_verdict(event),
            reason=event.detail.get("reason"),
            note=note,
            reader=event.reader or "",
            at=event.at,
            event_id=event.id,
        )
    return found


_JUDGING = ("verdict", "note", "supplement")


def _verdict(event: Event) -> str | None:
    return "supplemented" if event.kind == "supplement" else event.detail.get("verdict")
