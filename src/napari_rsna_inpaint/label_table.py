"""Tables of labels, one row a slice: what training and evaluation have in common.

They differ in what they make of the same rows, each to be on its safe side. Training leaves out
whatever may bleed: of contradictory labels the positive holds, and a visual reading of a bleed
counts as one. Evaluation measures against the labels: it refuses contradictions, and trusts a
visual reading only where it is clear.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from napari_rsna_inpaint.errors import InputRefused

UNKNOWN, NO, YES = -1, 0, 1
_FLAGS = {"": UNKNOWN, "-1": UNKNOWN, "0": NO, "1": YES}

#: How ``visual_class``, a reading without reference, begins: haemorrhage; pathology, uncertain.
VISUAL_BLEED, VISUAL_DOUBTFUL = "H", ("P", "U")
#: ``visual_class`` of slices in which no bleed was seen.
VISUALLY_CLEAR = {"N_brain_no_evident_ich", "B_skullbase_vertex_or_empty"}


@dataclass(frozen=True)
class LabelRow:
    """One row: ``place`` names it to a person, ``cells`` are its texts by column."""

    place: str
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """Content of a column, empty without it."""
        return self.cells.get(column, "")

    def flag(self, column: str) -> int:
        """`YES`, `NO` or `UNKNOWN`; raises `InputRefused` as `read_flag`."""
        return read_flag(self.text(column), self.place)

    def number(self, column: str) -> float:
        """A number, NaN where nothing is; raises `InputRefused` if it is none."""
        text = self.text(column)
        try:
            return float(text) if text.strip() else float("nan")
        except ValueError:
            raise InputRefused(f"{self.place} has {text!r} for {column}.") from None


def read_flag(text: str, place: str) -> int:
    """`YES`, `NO` or `UNKNOWN` from ``1``, ``0`` or nothing.

    Raises
    ------
    InputRefused
        If it is something else; the message names the place.
    """
    flag = _FLAGS.get(text.strip())
    if flag is None:
        raise InputRefused(f"{place} has {text.strip()!r} where 1, 0 or nothing goes.")
    return flag


@contextmanager
def open_table(path: Path) -> Iterator[TextIO]:
    """Open a table; whatever cannot be read inside is refused.

    Raises
    ------
    InputRefused
        If the file is absent or no text.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield file
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputRefused(
            f"The label table {path.name} cannot be read; check --labels."
        ) from error


def read_rows(lines: Iterable[str], name: str, keys: Sequence[str]) -> Iterator[LabelRow]:
    """Rows of a table with tabs or commas; the first line names the columns.

    Parameters
    ----------
    lines
        Of the table.
    name
        Of its file, for messages.
    keys
        One of these columns must be there, and ``any``.

    Raises
    ------
    InputRefused
        If they are not.
    """
    lines = iter(lines)
    header = next(lines, "").rstrip("\r\n")
    delimiter = "\t" if "\t" in header else ","
    columns = next(csv.reader([header], delimiter=delimiter), [])
    alternatives = " or ".join(keys)
    missing = [] if set(keys) & set(columns) else [alternatives]
    missing += [] if "any" in columns else ["any"]
    if missing:
        raise InputRefused(
            f"The label table {name} has no column {' and no column '.join(missing)}; it needs "
            f"{alternatives}, and any, at least."
        )
    reader = csv.DictReader(lines, columns, delimiter=delimiter, restval="")
    for row in reader:
        yield LabelRow(f"Line {reader.line_num + 1} of {name}", row)
