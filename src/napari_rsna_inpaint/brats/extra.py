"""Further cases with other healthy masks, made from cases whose lesions are outlined."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brats.cases import (
    EXTRA,
    HEALTHY,
    MASK,
    T1N,
    UNHEALTHY,
    VOIDED,
    Case,
    brain_of,
)
from napari_rsna_inpaint.brats.images import Image, read_image, write_image
from napari_rsna_inpaint.brats.masks import healthy_mask
from napari_rsna_inpaint.brats.work import (
    Progress,
    Work,
    each_case,
    key_of,
    seed_of,
    stored_record,
)
from napari_rsna_inpaint.detection.files import make_folder
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.io.write import write_json

#: So many lesions of other patients lend a mask their shapes.
LENT_LESIONS = 4
RECORD = "mask.json"


def make_extra_cases(
    cases: Sequence[Case],
    output: Path,
    *,
    per_case: int,
    seed: int,
    on_case: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Work:
    """Write ``per_case`` new cases for every case, each in a folder of its own.

    Each holds the five files of a case and ``<case>-mask.json``, which tells what became of
    every blob; ``masks.json`` in the output folder holds them all. A mask none of whose blobs
    found a place is given up: it has a record, but no files. Masks depend on the seed, the name
    of the case and the lesions of the others.

    Raises
    ------
    Cancelled
        When ``cancelled()`` returned True; finished masks are kept.
    OutputFailed
        If a file cannot be written.
    """
    make_folder(output)
    lenders = [case for case in cases if UNHEALTHY in case.files and EXTRA not in case.name]

    def work(case: Case) -> dict[str, Any]:
        others = [one for one in lenders if one.patient != case.patient]
        key = key_of(case, seed, [one.name for one in others])
        records = []
        for number in range(1, per_case + 1):
            if cancelled is not None and cancelled():
                raise Cancelled
            records.append(_extra(case, others, output, number, seed, key))
        return {"masks": records}

    result = each_case(cases, work, on_case=on_case, cancelled=cancelled)
    content = {
        "seed": seed,
        "masks": [record for one in result.done.values() for record in one["masks"]],
        "refused": [{"case": name, "reason": reason} for name, reason in result.refused],
    }
    write_json(output / "masks.json", content)
    return result


def _extra(
    case: Case, others: Sequence[Case], output: Path, number: int, seed: int, key: str
) -> dict[str, Any]:
    """Write one new case; its record comes last."""
    name = f"{case.name}{EXTRA}{number}"
    folder = output / name
    record_path = folder / f"{name}-{RECORD}"
    record = stored_record(record_path, key)
    if record is not None:
        return record
    image = case.image(T1N)
    unhealthy = case.mask(UNHEALTHY, image)
    rng = np.random.default_rng(seed_of(case.name, seed, number))
    chosen = rng.permutation(len(others))[:LENT_LESIONS]
    lesions = [shape for n in chosen if (shape := _lesion(others[n], image)) is not None]
    brain = brain_of(image.values, unhealthy)
    mask, blobs = healthy_mask(
        image.to_canonical(brain), image.to_canonical(unhealthy), image.spacing, rng, lesions
    )
    given_up = not mask.any()
    make_folder(folder)
    if not given_up:
        healthy = image.from_canonical(mask)
        write_image(folder / f"{name}-{T1N}.nii.gz", image.stored, image)
        _write_mask(folder / f"{name}-{HEALTHY}.nii.gz", healthy, image)
        _write_mask(folder / f"{name}-{UNHEALTHY}.nii.gz", unhealthy, image)
        _write_mask(folder / f"{name}-{MASK}.nii.gz", healthy | unhealthy, image)
        zero = image.to_stored(np.zeros(1))[0]
        voided = np.where(healthy | unhealthy, zero, image.stored)
        write_image(folder / f"{name}-{VOIDED}.nii.gz", voided, image)
    record = {
        "key": key,
        "case": name,
        "source": case.name,
        "seed": seed,
        "number": number,
        "given_up": given_up,
        "voxels": int(mask.sum()),
        "blobs": [blob.to_json() for blob in blobs],
    }
    write_json(record_path, record)
    return record


def _write_mask(path: Path, mask: npt.NDArray[np.bool_], like: Image) -> None:
    write_image(path, mask.astype(np.uint8), like)


def _lesion(case: Case, image: Image) -> npt.NDArray[np.bool_] | None:
    """Unhealthy mask of another case ``(z, y, x)``; None where it has none of this voxel size."""
    try:
        spacing, shape = _read_lesion(case.files[UNHEALTHY])
    except InputRefused:
        return None  # its own turn names it
    if not shape.any() or not np.allclose(spacing, image.spacing, rtol=0.02):
        return None
    return shape


# lesions are lent again and again; a mask of 9 million voxels is cropped to be kept
@functools.lru_cache(maxsize=64)
def _read_lesion(path: Path) -> tuple[tuple[float, float, float], npt.NDArray[np.bool_]]:
    image = read_image(path)
    mask = image.to_canonical(image.stored != 0)
    if not mask.any():
        return image.spacing, mask[:0]
    sides = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return image.spacing, mask[tuple(slice(s[0], s[-1] + 1) for s in sides)].copy()
