"""``SHA256SUMS`` of a model folder: whether its files are those that were published."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io.write import write_atomic

SUMS = "SHA256SUMS"


def write_sums(folder: Path) -> None:
    """Write ``SHA256SUMS`` of all files of a model folder, as ``sha256sum`` would.

    Raises
    ------
    OutputFailed
        If it cannot be written.
    """
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in _names(folder)]
    write_atomic(folder / SUMS, "".join(lines).encode())


def check_sums(folder: Path) -> dict[str, str]:
    """State of every file of a model folder.

    Returns
    -------
    By file name: ``ok``, ``changed``, ``missing`` or ``not listed``.

    Raises
    ------
    InputRefused
        If there is no ``SHA256SUMS`` or it is damaged.
    """
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
        listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise InputRefused(
            f"The model {folder.name!r} has no {SUMS} that can be read; if you trust its files, "
            f"write it with 'rsna-inpaint models verify {folder} --write'."
        ) from error
    present = _names(folder)
    states = dict.fromkeys(present, "not listed")
    for name, digest in listed.items():
        if name not in present:
            states[name] = "missing"
        else:
            states[name] = "ok" if _sha256(folder / name) == digest else "changed"
    return dict(sorted(states.items()))


def _names(folder: Path) -> list[str]:
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name != SUMS and not path.name.startswith(".")
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
