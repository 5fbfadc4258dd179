"""What the store gives back: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Run:
    """One detection on one study.

    Attributes
    ----------
    id, study
        Keys in the store.
    created
        UTC, ISO 8601.
    run
        Content of ``run.json``, as read back from JSON (lists, never tuples).
    findings
        Findings as in ``findings.json``, in the order in which they were stored.
    folder
        Folder of the images, or None.
    features
        What a re-scorer learns from, by identity of the finding.
    """

    id: str
    study: str
    created: str
    run: dict[str, Any]
    findings: list[dict[str, Any]]
    folder: str | None
    features: dict[str, list[float]]


@dataclass(frozen=True)
class Event:
    """One thing that happened; never changed once it is stored.

    Attributes
    ----------
    id
        Number in the chain, from 1.
    kind
        ``"run"``, ``"verdict"``, ``"note"``, ``"supplement"``, ``"edit"`` or ``"undo"``.
    study, run
        Keys in the store.
    finding
        Identity of the finding, or None where it concerns none.
    reader
        Pseudonym, or None for a run.
    at
        UTC, ISO 8601.
    detail
        What depends on the kind: ``verdict``, ``reason``, ``note``, ``opened``, ``context``;
        ``note``; ``finding``, ``region``, ``note``; parameters of an edit; ``event`` (number of
        the event that is undone); ``sha256`` of a run.
    package_version, schema
        Which program wrote it, and in which form.
    previous, hash
        Links of the chain, SHA-256 in hexadecimal.
    reverted
        Whether a later event undid it.
    """

    id: int
    kind: str
    study: str
    run: str
    finding: str | None
    reader: str | None
    at: str
    detail: dict[str, Any]
    package_version: str
    schema: int
    previous: str
    hash: str
    reverted: bool = False

    @property
    def region(self) -> dict[str, Any]:
        """Outline of a supplement, for `unpack_region`."""
        return self.detail["region"]


@dataclass(frozen=True)
class Verdict:
    """What counts now for one finding.

    Attributes
    ----------
    finding
        Identity of the finding.
    verdict
        One of `VERDICTS`, or None where there is only a note.
    reason
        Code of the reason of a rejection, or None.
    note
        Text, mostly empty.
    reader, at, event_id
        Of the event that counts: the verdict, or else the note.
    """

    finding: str
    verdict: str | None
    reason: str | None
    note: str
    reader: str
    at: str
    event_id: int


class Annotated(NamedTuple):
    """A finding with the verdict that counts; ``features`` is None where none were stored."""

    study: str
    run: str
    finding: dict[str, Any]
    features: list[float] | None
    verdict: str
    reason: str | None
