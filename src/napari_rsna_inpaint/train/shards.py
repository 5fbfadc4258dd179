"""A prepared data set on disk: shards of series, read slice by slice.

A shard is one safetensors file with, for its series ``i``, ``i/hu`` ``(z, y, x)`` int16 HU and
``i/brain`` ``(z, y, x/8)`` uint8, the mask with 8 pixels a byte. Its metadata hold everything
else (`Outcome`), so that a shard is complete or absent. ``index.json`` appears when all shards
are there.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io.scan import Skipped
from napari_rsna_inpaint.io.write import write_atomic, write_json
from napari_rsna_inpaint.train.prepare import Outcome, PreparedSeries

RECIPE, INDEX = "recipe.json", "index.json"


@dataclass(frozen=True)
class LazySlices(Sequence[npt.NDArray]):
    """``(z, y, x)`` array that stays on disk; ``[z]`` reads one slice.

    Attributes
    ----------
    path
        The shard.
    tensor
        Name of the array in it.
    length
        Number of slices.
    packed
        The array is a mask with 8 pixels a byte.
    """

    path: Path
    tensor: str
    length: int
    packed: bool = False

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, z: int) -> npt.NDArray: ...
    @overload
    def __getitem__(self, z: slice) -> list[npt.NDArray]: ...
    def __getitem__(self, z: int | slice) -> npt.NDArray | list[npt.NDArray]:
        if isinstance(z, slice):
            return [self[i] for i in range(*z.indices(self.length))]
        if not -self.length <= z < self.length:
            raise IndexError(f"slice {z} of {self.length}")
        plane = _open(self.path).get_slice(self.tensor)[int(z) % self.length]
        return np.unpackbits(plane, axis=-1).view(bool) if self.packed else plane


# A map of a file costs nothing but address space; another process opens its own.
@functools.cache
def _open(path: Path) -> Any:
    return safe_open(path, "numpy")


def shard_path(folder: Path, number: int) -> Path:
    """File of the shard with this number."""
    return folder / f"shard-{number:05d}.safetensors"


def write_shard(path: Path, key: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Write the series that were prepared and the report on all; return its metadata.

    Raises
    ------
    OutputFailed
        If it cannot be written.
    """
    tensors: dict[str, npt.NDArray] = {}
    rows = []
    for number, outcome in enumerate(outcomes):
        entry: dict[str, Any] = {
            "row": outcome.row,
            "skipped": [[s.path, s.reason] for s in outcome.skipped],
        }
        series = outcome.series
        if series is not None:
            tensors[f"{number}/hu"] = np.asarray(series.hu)
            tensors[f"{number}/brain"] = np.packbits(np.asarray(series.brain), axis=-1)
            entry["usable"] = series.usable.tolist()
            entry["labels"] = series.labels.tolist()
        rows.append(entry)
    content = {"key": key, "series": rows}
    # one entry: the order of several is not fixed, and equal shards shall be equal files
    write_atomic(path, save(tensors, {"prepared": json.dumps(content, sort_keys=True)}))
    return content


def read_shard(path: Path, key: str) -> dict[str, Any] | None:
    """Metadata of a shard; None where it is absent, damaged or was made of something else."""
    try:
        with safe_open(path, "numpy") as shard:
            content = json.loads(shard.metadata()["prepared"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    return content if content["key"] == key else None


def open_recipe(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Create the folder of a data set, or take up one of the same recipe.

    Raises
    ------
    InputRefused
        If it was made with another recipe.
    """
    stored = folder / RECIPE
    if not stored.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(stored, recipe)
        return
    before = _read_json(stored)
    differs = [name for name, value in recipe.items() if before.get(name) != value]
    if differs:
        raise InputRefused(
            f"{folder} holds a data set made with another {differs[0]}; name another folder "
            "with -o."
        )


def write_index(folder: Path, shards: Sequence[Mapping[str, Any]]) -> None:
    """Close the data set: from now on `open_dataset` opens it."""
    entries = [
        {
            "shard": number,
            "place": place,
            **{name: entry["row"][name] for name in ("name", "patient", "healthy", "slices")},
            "usable": entry["usable"],
            "labels": entry["labels"],
        }
        for number, shard in enumerate(shards)
        for place, entry in enumerate(shard["series"])
        if "usable" in entry
    ]
    write_atomic(folder / INDEX, json.dumps({"series": entries}).encode())
    for stale in folder.glob("shard-*.safetensors"):
        if stale not in {shard_path(folder, number) for number in range(len(shards))}:
            stale.unlink()


def skipped_files(shard: Mapping[str, Any]) -> list[Skipped]:
    """Files that the series of a shard lack."""
    return [Skipped(*pair) for entry in shard["series"] for pair in entry["skipped"]]


def open_dataset(folder: Path, pixel_mm: float | None = None) -> list[PreparedSeries]:
    """Series of a prepared data set; their slices stay on disk until they are asked for.

    Parameters
    ----------
    folder
        The output of ``rsna-inpaint prepare``.
    pixel_mm
        Size of the model's pixels, to be sure that they fit; None does not ask.

    Returns
    -------
    list
        Sorted by name, healthy and other series together.

    Raises
    ------
    InputRefused
        If there is no finished data set, or its pixels have another size.
    """
    if not (folder / RECIPE).is_file():
        raise InputRefused(f"{folder} holds no prepared data; make it with rsna-inpaint prepare.")
    if not (folder / INDEX).is_file():
        raise InputRefused(
            f"The data set in {folder} is not finished; run the same rsna-inpaint prepare again."
        )
    stored = _read_json(folder / RECIPE).get("pixel_mm")
    if pixel_mm is not None and stored != pixel_mm:
        raise InputRefused(
            f"The data set in {folder} has pixels of {stored} mm, the model of {pixel_mm} mm; "
            f"prepare it again with --pixel-mm {pixel_mm}."
        )
    try:
        return [_series(folder, entry) for entry in _read_json(folder / INDEX)["series"]]
    except (KeyError, TypeError) as problem:
        raise _damaged(folder / INDEX) from problem


def _series(folder: Path, entry: Mapping[str, Any]) -> PreparedSeries:
    path, place, length = shard_path(folder, entry["shard"]), entry["place"], entry["slices"]
    return PreparedSeries(
        name=entry["name"],
        hu=LazySlices(path, f"{place}/hu", length),
        brain=LazySlices(path, f"{place}/brain", length, packed=True),
        usable=np.array(entry["usable"], np.intp),
        healthy=entry["healthy"],
        labels=np.array(entry["labels"], np.int8),
        patient=entry["patient"],
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as problem:
        raise _damaged(path) from problem


def _damaged(path: Path) -> InputRefused:
    return InputRefused(f"{path} is damaged; prepare the data again into another folder.")
