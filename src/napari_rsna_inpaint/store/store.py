"""The store of verdicts."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.store import schema
from napari_rsna_inpaint.store.chain import canonical_json, sha256
from napari_rsna_inpaint.store.database import Database
from napari_rsna_inpaint.store.journal import Journal, read_events
from napari_rsna_inpaint.store.records import Annotated, Event, Run, Verdict
from napari_rsna_inpaint.store.replay import current_verdicts
from napari_rsna_inpaint.store.rows import iso, now, put, put_once, put_reader
from napari_rsna_inpaint.store.verify import run_digest, verify
from napari_rsna_inpaint.store.vocabulary import REASONS, VERDICTS

_IDENTITY = {"source_id", "pixel_sha256", "shape", "spacing_mm"}


class Store:
    """Studies, runs and what readers decided; open it by `open_store`.

    What a method stored is on disk when it returns. Every method may raise ``OutputFailed`` (disk
    full, read-only, locked, server out of reach) or ``InputRefused`` (damaged); nothing of the
    call is stored then, and the store stays usable. May be used from several threads.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Path, or URL without the password."""
        return self._database.name

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # Studies and runs

    def put_study(self, identity: Mapping[str, Any]) -> str:
        """Store a study, unless it is there.

        Parameters
        ----------
        identity
            From `input_identity`: ``source_id``, ``pixel_sha256``, ``shape``, ``spacing_mm``.

        Returns
        -------
        str
            Key of the study, a SHA-256: the same for the same series everywhere.

        Raises
        ------
        ValueError
            If the identity has other fields, which could tell whose study it is.
        """
        if set(identity) != _IDENTITY:
            raise ValueError(f"an identity has {sorted(_IDENTITY)}, not {sorted(identity)}")
        # another machine may round the last digit otherwise
        spacing = [round(float(side), 3) for side in identity["spacing_mm"]]
        content = canonical_json({**identity, "spacing_mm": spacing})
        study = sha256(content)
        with self._database.writing() as connection:
            put_once(connection, schema.studies, id=study, identity=content, created=now())
        return study

    def put_run(
        self,
        study: str,
        run: Mapping[str, Any],
        findings: Sequence[Mapping[str, Any]],
        folder: str | None,
        features: Mapping[str, Sequence[float]] | None,
    ) -> str:
        """Store a detection.

        Parameters
        ----------
        study
            Key of the study.
        run
            Content of ``run.json``.
        findings
            As in ``findings.json``; every identity once.
        folder
            Where its images are; never exported.
        features
            What a re-scorer learns from, by identity of the finding.

        Returns
        -------
        str
            Key of the run.

        Raises
        ------
        InputRefused
            If the study is not in the store.
        """
        known = features or {}
        content = canonical_json(run)
        rows = [
            {
                "position": position,
                "id": finding["id"],
                "finding": canonical_json(finding),
                "features": canonical_json(known[finding["id"]])
                if finding["id"] in known
                else None,
            }
            for position, finding in enumerate(findings)
        ]
        key = uuid.uuid4().hex
        with self._appending() as journal:
            connection = journal.connection
            if connection.scalar(select(schema.studies.c.id).filter_by(id=study)) is None:
                raise InputRefused("The study is not in the verdict store; store it first.")
            connection.execute(
                schema.runs.insert(),
                {"id": key, "study": study, "created": now(), "run": content, "folder": folder},
            )
            if rows:
                connection.execute(schema.findings.insert(), [{**row, "run": key} for row in rows])
            detail = {"sha256": run_digest(study, content, rows)}
            journal.append("run", study, key, None, None, detail)
        return key

    def runs(self, study: str | None = None) -> list[Run]:
        """Runs of a study, or of all, the newest first."""
        runs, events = schema.runs, schema.events
        wanted = select(runs).join(events, events.c.run == runs.c.id)
        wanted = wanted.where(events.c.kind == "run").order_by(events.c.id.desc())
        if study is not None:
            wanted = wanted.where(runs.c.study == study)
        with self._database.reading() as connection:
            return [_run(connection, row) for row in connection.execute(wanted).all()]

    # What readers decide

    def record(
        self,
        run: str,
        finding: str,
        verdict: str,
        *,
        reader: str,
        reason: str | None = None,
        note: str = "",
        opened: float | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Event:
        """Store a verdict on a finding; the last one counts.

        Parameters
        ----------
        run
            Key of the run.
        finding
            Identity of the finding.
        verdict
            One of `VERDICTS`.
        reader
            Pseudonym.
        reason
            Code of one of `REASONS`, for a rejection.
        note
            Text; empty keeps the earlier note.
        opened
            When the finding was opened, seconds since 1970 as by ``time.time()``.
        context
            What the reader saw, such as threshold and window; nothing about the patient.

        Raises
        ------
        InputRefused
            If run or finding is not in the store, or the reader has no usable pseudonym.
        ValueError
            If verdict or reason is none of the words.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"{verdict!r} is none of {VERDICTS}")
        if reason is not None and reason not in (known.code for known in REASONS):
            raise ValueError(f"{reason!r} is no code of a reason")
        detail = {
            "verdict": verdict,
            "reason": reason,
            "note": note,
            "opened": None if opened is None else iso(datetime.fromtimestamp(opened, UTC)),
            "context": dict(context or {}),
        }
        with self._appending() as journal:
            study = journal.study_of(run)
            journal.require_finding(run, finding)
            return journal.append("verdict", study, run, finding, reader, detail)

    def note(self, run: str, finding: str, text: str, *, reader: str) -> Event:
        """Store a remark on a finding in place of the earlier one; empty text takes it away."""
        with self._appending() as journal:
            study = journal.study_of(run)
            journal.require_finding(run, finding)
            return journal.append("note", study, run, finding, reader, {"note": text})

    def supplement(
        self,
        run: str,
        finding: Mapping[str, Any],
        region: Mapping[str, Any],
        *,
        reader: str,
        note: str = "",
    ) -> Event:
        """Store a region that a reader drew because it was missed.

        Parameters
        ----------
        run
            Key of the run.
        finding
            Its measures, as in ``findings.json``. Where its ``id`` is taken by another one of the
            run, it becomes the next free of ``"S1"``, ``"S2"`` ...; the event says which.
        region
            From `pack_region`.
        reader
            Pseudonym.
        note
            Text.
        """
        with self._appending() as journal:
            study = journal.study_of(run)
            name = journal.free_name(run, finding["id"])
            detail = {
                "finding": {**finding, "id": name},
                "region": dict(region),
                "note": note,
            }
            return journal.append("supplement", study, run, name, reader, detail)

    def edit(self, run: str, detail: Mapping[str, Any], *, reader: str) -> Event:
        """Store that a re-inpainted region was accepted, with its parameters."""
        with self._appending() as journal:
            return journal.append("edit", journal.study_of(run), run, None, reader, detail)

    def undo(self, event_id: int, *, reader: str) -> Event:
        """Store that an earlier event does not count any more; undoing that brings it back.

        Raises
        ------
        InputRefused
            If there is no such event, or it is undone already.
        """
        with self._appending() as journal:
            event = journal.find(event_id)
            if event is None or event.kind == "run":
                raise InputRefused(f"There is no decision {event_id} that could be undone.")
            if event.reverted:
                raise InputRefused("This was undone already, perhaps in another window.")
            return journal.append(
                "undo", event.study, event.run, event.finding, reader, {"event": event_id}
            )

    # What counts

    def verdicts(self, run: str) -> dict[str, Verdict]:
        """What counts now for the findings of a run, by their identity."""
        return current_verdicts(self.events(run=run))

    def events(self, study: str | None = None, run: str | None = None) -> list[Event]:
        """All events, or those of a study or a run, in order."""
        with self._database.reading() as connection:
            return read_events(connection, study, run)

    def annotated(self) -> Iterator[Annotated]:
        """Findings of all studies with the verdict that counts, drawn ones included."""
        by_run: dict[str, list[Event]] = {}
        for event in self.events():
            by_run.setdefault(event.run, []).append(event)
        with self._database.reading() as connection:
            stored = connection.execute(select(schema.findings)).all()
        found = {(row.run, row.id): row for row in stored}
        for run, events in by_run.items():
            drawn = {e.finding: e.detail["finding"] for e in events if e.kind == "supplement"}
            for name, verdict in current_verdicts(events).items():
                if verdict.verdict is None:
                    continue
                row = found.get((run, name))
                finding = drawn[name] if row is None else json.loads(row.finding)
                features = json.loads(row.features) if row is not None and row.features else None
                yield Annotated(
                    events[0].study, run, finding, features, verdict.verdict, verdict.reason
                )

    def verify(self) -> list[str]:
        """Sentences about everything that was changed behind the store's back; empty if whole."""
        with self._database.reading() as connection:
            return verify(connection)

    # Small memories, not chained

    def set_place(self, study: str, reader: str, place: Mapping[str, Any]) -> None:
        """Remember where a reader is in a study."""
        with self._database.writing() as connection:
            put_reader(connection, reader)
            put(connection, schema.places, study=study, reader=reader, place=canonical_json(place))

    def place(self, study: str, reader: str) -> dict[str, Any] | None:
        """Where a reader was in a study, or None."""
        wanted = select(schema.places.c.place).filter_by(study=study, reader=reader)
        with self._database.reading() as connection:
            stored = connection.scalar(wanted)
        return None if stored is None else json.loads(stored)

    def set_setting(self, key: str, value: Any) -> None:
        """Remember something that JSON can hold."""
        with self._database.writing() as connection:
            put(connection, schema.settings, key=key, value=canonical_json(value))

    def setting(self, key: str) -> Any:
        """What was remembered, or None."""
        with self._database.reading() as connection:
            stored = connection.scalar(select(schema.settings.c.value).filter_by(key=key))
        return None if stored is None else json.loads(stored)

    @contextmanager
    def _appending(self) -> Iterator[Journal]:
        with self._database.writing() as connection:
            yield Journal(connection)


def _run(connection: Connection, row: Row[Any]) -> Run:
    table = schema.findings
    wanted = select(table).where(table.c.run == row.id).order_by(table.c.position)
    stored = connection.execute(wanted).all()
    return Run(
        id=row.id,
        study=row.study,
        created=row.created,
        run=json.loads(row.run),
        findings=[json.loads(one.finding) for one in stored],
        folder=row.folder,
        features={one.id: json.loads(one.features) for one in stored if one.features},
    )
