"""Tables that say which slices show a haemorrhage."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from napari_rsna_inpaint.errors import InputRefused

#: Names under which a table is found in a data folder, or beside it.
TABLES = ("labels.tsv", "stage_2_train.csv")

UNKNOWN, NO, YES = -1, 0, 1


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
    - Tab-separated: ``slice_id`` or ``file`` (name of a NIfTI file) and ``any`` (1, 0 or empty);
      optionally ``patient_id`` and ``visual_class``, of which ``H...`` is taken as a haemorrhage
      where ``any`` is empty, ``P...`` (other pathology) and ``U...`` (uncertain) as doubtful.

    Raises
    ------
    InputRefused
        If a table cannot be read or has other columns.
    """
    labels = Labels()
    for table in tables:
        if not table.is_file():
            raise InputRefused(f"There is no table {table}; name a file of labels.")
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                _read_table(file, labels)
        except (OSError, UnicodeDecodeError, csv.Error, ValueError, KeyError) as problem:
            raise InputRefused(
                f"{table.name} is no table of labels: it needs the columns slice_id (or file) and "
                "any, separated by tabs, or ID and Label, separated by commas."
            ) from problem
    return labels


def _read_table(lines: Iterator[str], labels: Labels) -> None:
    header = next(lines, "").rstrip("\r\n")
    if header.split(",") == ["ID", "Label"]:
        # 4.5 million lines: no csv module, and nothing but the lines of "any"
        for line in lines:
            name, _, rest = line.partition("_any,")
            if rest:
                labels.add(name, int(rest))
        return
    columns = header.split("\t")
    key = "slice_id" if "slice_id" in columns else "file"
    for row in csv.DictReader(lines, columns, delimiter="\t"):
        name, reading = row[key], row.get("visual_class") or ""
        label = int(row["any"]) if row["any"] else UNKNOWN
        if label == UNKNOWN and reading.startswith("H"):
            label = YES
        if label not in (UNKNOWN, NO, YES):
            raise ValueError(label)
        labels.add(name, label)
        if reading.startswith(("P", "U")):
            labels.doubtful.add(name)
        if row.get("patient_id"):
            labels.patients[name] = row["patient_id"]
