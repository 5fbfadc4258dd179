"""A chain of hashes: every event carries the hash of the one before it.

Whoever changes, removes or reorders stored events breaks it, unless all later hashes are computed
anew as well; a copy of the last hash kept elsewhere shows that too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

#: Stands where the first event has no event before it.
START = "0" * 64
#: Columns of an event that its hash covers, beside the hash of the event before.
COVERED = (
    "id",
    "kind",
    "study",
    "run",
    "finding",
    "reader",
    "at",
    "detail",
    "package_version",
    "schema",
)


def canonical_json(value: Any) -> str:
    """One text for one content: sorted keys, no blanks, ASCII; NaN becomes null."""
    text = json.dumps(value, default=_plain)
    finite = json.loads(text, parse_constant=lambda name: None)
    return json.dumps(finite, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    """What JSON does not know by itself: paths, and numbers and arrays of numpy."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value.tolist()


def sha256(text: str) -> str:
    """SHA-256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def link(previous: str, event: Mapping[str, Any]) -> str:
    """Hash of an event as it is stored, and of all events before it."""
    return sha256(previous + canonical_json({name: event[name] for name in COVERED}))
