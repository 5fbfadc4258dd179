"""Files in: napari's door to ``napari_rsna_inpaint.io.read``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_rsna_inpaint._qt.layers import LayerData, ct_layer
from napari_rsna_inpaint.errors import ChoiceNeeded
from napari_rsna_inpaint.volume import CTVolume

_SUFFIXES = (".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".zip")


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a reader for a DICOM file, folder or zip, or a NIfTI file; else None.

    Parameters
    ----------
    path
        One path; lists (napari's stacks) are not ours.
    """
    if not isinstance(path, str):
        return None
    place = Path(path)
    if place.is_dir() or path.lower().endswith(_SUFFIXES) or _is_dicom(place):
        return read_layers
    return None


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_layers(path: str) -> list[LayerData]:
    """Read a study into one CT layer."""
    volume = read_asking(path)
    return [] if volume is None else [ct_layer(volume)]


def read_asking(path: str | Path, series: str | None = None) -> CTVolume | None:
    """Read a study; where a person must choose, ask in the open window.

    Returns
    -------
    CTVolume or None
        None if the person closed the question.
    """
    from napari_rsna_inpaint.io import read

    while True:
        try:
            return read(path, series=series)
        except ChoiceNeeded as question:
            series = _ask(question)
            if series is None:
                return None


def _ask(question: ChoiceNeeded) -> str | None:
    """Let a person choose; raise the question again where there is no window to ask in."""
    import napari
    from qtpy.QtWidgets import QInputDialog

    if napari.current_viewer() is None or not question.choices:
        raise question
    choice, accepted = QInputDialog.getItem(
        None, "Open a CT study", str(question), list(question.choices), 0, False
    )
    return choice.split()[0] if accepted else None
