"""Tables that say which slices show a haemorrhage."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from napari_rsna_inpaint.label_table import (
    UNKNOWN,
    VISUAL_BLEED,
    VISUAL_DOUBTFUL,
    YES,
    LabelRow,
    open_table,
    read_flag,
    read_rows,
)

#: Names under which a table is found in a data folder, or beside it.
TABLES = ("labels.tsv", "stage_2_train.csv")

#: Columns of the published table, and those that name a slice or file in others.
_PUBLISHED, _KEYS = ["ID", "Label"], ("slice_id", "file")


@dataclass(frozen=True)
class Labels:
    """What tables say of slices (SOP instance UID or file name without ending) and files.

    Attributes
    ----------
    haemorrhage
        Any haemorrhage: 1 yes, 0 no, -1 unknown.
    doubtful
        Slices that somebody read as other pathology or uncertain.
    patients
        Patient identifiers, for files that have none inside.
    """

    haemorrhage: dict[str, int] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    patients: dict[str, str] = field(default_factory=dict)

    def of(self, *names: str) -> int:
        """Label under the first of several names that a table knows."""
        return next((self.haemorrhage[n] for n in names if n in self.haemorrhage), UNKNOWN)

    def add(self, name: str, label: int) -> None:
        """Record a label; of contradictory ones the positive holds."""
        self.haemorrhage[name] = max(label, self.haemorrhage.get(name, UNKNOWN))


def find_tables(folders: Iterable[Path]) -> list[Path]:
    """`TABLES` in the folders and in the folders that hold them."""
    places = dict.fromkeys(place for f in folders for place in (f.resolve(), f.resolve().parent))
    return [place / name for place in places for name in TABLES if (place / name).is_file()]


def read_labels(tables: Iterable[Path]) -> Labels:
    """Read tables of either layout.

    - The published RSNA 2019 table: columns ``ID`` (``ID_xxx_any``) and ``Label``; it repeats a
      few rows.
    - Tabs or commas: ``slice_id`` or ``file`` (name of a NIfTI file) and ``any`` (1, 0 or
      empty); optionally ``patient_id`` and ``visual_class``, of which ``H...`` is taken as a
      haemorrhage where ``any`` is empty, ``P...`` (other pathology) and ``U...`` (uncertain) as
      doubtful.

    Raises
    ------
    InputRefused
        If a table cannot be read or has other columns.
    """
    labels = Labels()
    for table in tables:
        with open_table(table) as lines:
            header = next(lines, "")
            if header.rstrip("\r\n").split(",") == _PUBLISHED:
                _add_published(lines, table.name, labels)
            else:
                for row in read_rows(itertools.chain([header], lines), table.name, _KEYS):
                    _add(row, labels)
    return labels


def _add_published(lines: Iterable[str], table: str, labels: Labels) -> None:
    # 4.5 million lines: no csv module, and nothing but the lines of "any"
    for number, line in enumerate(lines, start=2):
        name, _, rest = line.partition("_any,")
        if rest:
            labels.add(name, read_flag(rest, f"Line {number} of {table}"))


def _add(row: LabelRow, labels: Labels) -> None:
    name = next(row.text(key) for key in _KEYS if key in row.cells)
    reading, label = row.text("visual_class"), row.flag("any")
    if label == UNKNOWN and reading.startswith(VISUAL_BLEED):
        label = YES
    labels.add(name, label)
    if reading.startswith(VISUAL_DOUBTFUL):
        labels.doubtful.add(name)
    if row.text("patient_id"):
        labels.patients[name] = row.text("patient_id")
