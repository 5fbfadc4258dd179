"""What is looked up in the background when a study is opened: earlier runs, terms, the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from napari_rsna_inpaint._qt.settings import Settings
from napari_rsna_inpaint._qt.worker import Job, Report
from napari_rsna_inpaint.casebook import Casebook
from napari_rsna_inpaint.detection.identity import input_identity
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.diffusion.card import licence
from napari_rsna_inpaint.errors import RsnaInpaintError
from napari_rsna_inpaint.store import Run, Store, open_store
from napari_rsna_inpaint.volume import CTVolume

PLUGIN = "napari-rsna-inpaint"
#: Pseudonym of a reader who has not chosen one.
ANONYMOUS = "reader"


@dataclass(frozen=True, eq=False)
class Opened:
    """What is known of a study from before.

    Attributes
    ----------
    store, casebook
        Where verdicts go.
    run, detection
        The run that was left, and its images if they are kept here; or None.
    problem
        What of that run cannot be shown and why, or empty.
    terms
        What the cards of the installed models say of their licence, each line once.
    """

    store: Store
    casebook: Casebook
    run: Run | None
    detection: Detection | None
    problem: str
    terms: tuple[str, ...]


def results_folder() -> Path:
    """Folder for the images of all runs."""
    return user_data_path(PLUGIN, appauthor=False) / "results"


def opening_job(volume: CTVolume, store: Store | None, chosen: Settings) -> Job:
    """Make the job that finds what is known of a study; its result is `Opened`."""

    def compute(_report: Report, _cancelled: Callable[[], bool]) -> Opened:
        book = store if store is not None else open_store(chosen.store or None)
        identity = input_identity(volume.finite())
        casebook = Casebook(book, chosen.reader or ANONYMOUS, results_folder(), identity)
        run = casebook.last_run()
        detection, problem = _images(casebook, run, volume)
        # loads torch, which the first detection would wait for
        from napari_rsna_inpaint.diffusion.model_folder import find_model, installed_models

        terms = dict.fromkeys(licence(find_model(name, None)) for name in installed_models())
        return Opened(book, casebook, run, detection, problem, tuple(terms))

    return Job("opening of the study", compute)


def _images(casebook: Casebook, run: Run | None, volume: CTVolume) -> tuple[Detection | None, str]:
    """Images of a run, or why there are none."""
    if run is None:
        return None, ""
    try:
        detection = casebook.images(run, volume)
    except RsnaInpaintError as error:
        return None, (
            f"The images of the last result cannot be shown ({str(error).rstrip('.')}): press "
            "Detect to compute them again; the verdicts are kept."
        )
    if detection is None:
        return None, (
            "This study was read before, but the images of that result are not kept on this "
            "machine: press Detect to show them again; the verdicts are kept."
        )
    return detection, casebook.edits(run)[1]
