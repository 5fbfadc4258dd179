"""What the chain proves."""

import pytest
from sqlalchemy import text
from store_samples import FINDINGS

from napari_rsna_inpaint.store.chain import canonical_json


@pytest.fixture
def tamper(store, run):
    """Five verdicts, and a way to change them behind the store's back."""
    for _ in range(5):
        store.record(run, "F1", "rejected", reader="R1", reason="motion")

    def execute(statement: str) -> list[str]:
        with store._database.writing() as connection:
            connection.execute(text(statement))
        return store.verify()

    assert store.verify() == []
    return execute


def test_changed_events_are_named(tamper):
    for column, value in (("reader", "NULL"), ("at", "'2020'"), ("finding", "'F2'")):
        assert tamper(f"UPDATE events SET {column} = {value} WHERE id = 3") == [
            "Event 3 was changed after it was stored."
        ]


def test_removed_events_are_named(tamper):
    assert tamper("DELETE FROM events WHERE id = 3") == ["Event 3 is missing."]
    assert tamper("DELETE FROM events WHERE id > 4") == [
        "Event 3 is missing.",
        "Events 5 to 6 are missing.",
    ]


def test_exchanged_events_are_named(tamper):
    exchange = "UPDATE events SET id = CASE id WHEN 103 THEN 4 ELSE 3 END WHERE id IN (103, 104)"
    tamper("UPDATE events SET id = id + 100 WHERE id IN (3, 4)")
    assert "Event 3 was changed after it was stored." in tamper(exchange)


def test_a_replaced_event_with_a_new_hash_is_noticed(tamper, store):
    from napari_rsna_inpaint.store.chain import link
    from napari_rsna_inpaint.store.schema import events

    with store._database.reading() as connection:
        row = connection.execute(events.select().where(events.c.id == 6)).one()._asdict()
    forged = link(row["previous"], {**row, "reader": "R1", "detail": "{}"})
    assert tamper(f"UPDATE events SET detail = '{{}}', hash = '{forged}' WHERE id = 6") == [
        "Event 6 is not the one that was stored last: it was replaced."
    ]


def test_findings_changed_after_they_were_judged_are_noticed(tamper, run):
    sentence = f"Run {run} or its findings were changed after they were stored."
    other = canonical_json({**FINDINGS[0], "score": 0.1})
    escaped = other.replace(":", "\\:")
    assert tamper(f"UPDATE findings SET finding = '{escaped}' WHERE id = 'F1'") == [sentence]
