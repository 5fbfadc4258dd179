"""The kinds of intracranial haemorrhage, by where the blood lies."""

from __future__ import annotations

from typing import Literal

Subtype = Literal["intraparenchymal", "intraventricular", "subarachnoid", "subdural", "epidural"]

#: In this order synthetic bleeds are drawn: another one would change them and all calibrations.
SUBTYPES: tuple[Subtype, ...] = (
    "intraparenchymal",
    "intraventricular",
    "subarachnoid",
    "subdural",
    "epidural",
)
