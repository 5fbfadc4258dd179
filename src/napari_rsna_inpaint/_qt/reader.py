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
    """Read a study into one CT layer; a person is asked only if there is a viewer.

    Raises
    ------
    ChoiceNeeded
        If a person must choose and there is no viewer.
    """
    import napari

    from napari_rsna_inpaint.io import read

    volume = read(path) if napari.current_viewer() is None else read_asking(path)
    return [] if volume is None else [ct_layer(volume)]


def read_asking(path: str | Path, series: str | None = None) -> CTVolume | None:
    """Read a study; where a person must choose, ask in a dialog.

    Parameters
    ----------
    path
        Whatever ``read`` takes.
    series
        Which series of the input, if that is known.

    Returns
    -------
    CTVolume or None
        None if the person closed the question.

    Raises
    ------
    InputRefused
        If the input cannot be used.
    ChoiceNeeded
        If a person must choose and there is no ``QApplication`` to ask in, or nothing to
        choose from.
    """
    from napari_rsna_inpaint.io import read

    while True:
        try:
            return read(path, series=series)
        except ChoiceNeeded as question:
            series = _ask(question, path)
            if series is None:
                return None


def _ask(question: ChoiceNeeded, path: str | Path) -> str | None:
    from qtpy.QtWidgets import QApplication, QInputDialog

    if QApplication.instance() is None or not question.choices:
        raise question
    if question.code == "several-series":
        return _ask_series(path)
    choice, accepted = QInputDialog.getItem(
        QApplication.activeWindow(),
        "Open a CT study",
        str(question),
        list(question.choices),
        0,
        False,
    )
    return choice.split()[0] if accepted else None


def _ask_series(path: str | Path) -> str | None:
    from napari_rsna_inpaint._qt.series_dialog import SeriesDialog
    from napari_rsna_inpaint.io import inspect

    dialog = SeriesDialog(inspect(path)["series"])
    return dialog.uid if dialog.exec() else None
