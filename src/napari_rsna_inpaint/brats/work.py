"""Case after case: a bad one is named and the others go on; what is finished is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_rsna_inpaint.brats.cases import Case
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.train.headers import short_hash

#: Called with the number of finished cases and of all; a part of a case counts as such.
Progress = Callable[[float, int], None]

CANCELLED = "Cancelled; finished cases are kept and the same command goes on."


@dataclass
class Work:
    """What became of the cases.

    Attributes
    ----------
    done
        Records of finished cases, by name.
    refused
        Name and reason of those that could not be used.
    """

    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)


def each_case(
    cases: Iterable[Case],
    work: Callable[[Case], dict[str, Any]],
    *,
    on_case: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Work:
    """Do the work of every case.

    Parameters
    ----------
    work
        Gives a record of the case.

    Raises
    ------
    Cancelled
        When ``cancelled()`` returned True, between cases or in one; ``partial`` is the `Work`.
    OutputFailed
        If a result cannot be written.
    """
    todo, result = list(cases), Work()
    for number, case in enumerate(todo):
        if cancelled is not None and cancelled():
            raise Cancelled(CANCELLED, result)
        try:
            result.done[case.name] = work(case)
        except InputRefused as error:
            result.refused.append((case.name, str(error)))
        except Cancelled as error:
            raise Cancelled(CANCELLED, result) from error
        if on_case is not None:
            on_case(number + 1, len(todo))
    return result


def key_of(case: Case, *settings: object) -> str:
    """What a result of a case depends on: settings and the bytes of its files."""
    digests = [
        (part, hashlib.sha256(path.read_bytes()).hexdigest())
        for part, path in sorted(case.files.items())
    ]
    return short_hash(case.name, digests, *settings)


def seed_of(name: str, *numbers: int) -> list[int]:
    """Seed of a case by its name, so that its result does not depend on the other cases."""
    return [*numbers, int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)]


def stored_record(path: Path, key: str) -> dict[str, Any] | None:
    """Record of a finished case; None where it is absent or belongs to other settings."""
    try:
        record = json.loads(path.read_bytes())
        return dict(record) if record["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
