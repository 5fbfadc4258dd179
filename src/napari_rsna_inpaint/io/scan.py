"""Find the files behind an input: one file, or a folder searched below."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from napari_rsna_inpaint.errors import InputRefused

MAX_DEPTH = 32
MAX_FILES = 200_000


@dataclass(frozen=True)
class Source:
    """One file, wherever its bytes lie.

    Attributes
    ----------
    name
        Path relative to the input, with forward slashes.
    size
        Number of bytes.
    open
        Gives a new seekable binary stream over the bytes.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]

    @property
    def folder(self) -> str:
        """Everything of the name before the last slash."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and why."""

    path: str
    reason: str


def file_source(path: Path, name: str) -> Source:
    """Describe a regular file on disk."""
    return Source(name, path.stat().st_size, lambda: path.open("rb"))


def find_sources(folder: Path) -> tuple[list[Source], list[Skipped]]:
    """List the regular files in a folder and everything below it.

    Symbolic links, pipes, sockets and devices are never opened: a link may loop and a
    pipe may block for ever.

    Parameters
    ----------
    folder
        Where to start.

    Returns
    -------
    tuple
        The files sorted by name, and what was skipped.

    Raises
    ------
    InputRefused
        If the folder holds more files than any study does.
    """
    sources: list[Source] = []
    skipped: list[Skipped] = []
    for entry, name, problem in _walk(folder, "", 0):
        if problem:
            skipped.append(Skipped(name, problem))
        else:
            sources.append(file_source(Path(entry.path), name))
        if len(sources) + len(skipped) > MAX_FILES:
            raise InputRefused(
                f"The folder holds more than {MAX_FILES:,} files. Choose the folder of one study."
            )
    return sorted(sources, key=lambda source: source.name), skipped


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[tuple[os.DirEntry[str], str, str]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        if depth == 0:
            raise InputRefused(
                "The folder cannot be opened: permission denied. Ask for read access."
            ) from None
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.is_symlink():
            yield entry, name, "symbolic link (not followed)"
        elif entry.is_dir(follow_symlinks=False):
            if depth >= MAX_DEPTH:
                yield entry, name, f"folder deeper than {MAX_DEPTH} levels"
            else:
                yield from _walk(Path(entry.path), name + "/", depth + 1)
        elif not entry.is_file(follow_symlinks=False):
            yield entry, name, "not a regular file"
        else:
            yield entry, name, ""
