"""Verdicts of readers, on disk as soon as they are given."""

from napari_rsna_inpaint.store.open import open_store
from napari_rsna_inpaint.store.records import Annotated, Event, Run, Verdict
from napari_rsna_inpaint.store.region import pack_region, unpack_region
from napari_rsna_inpaint.store.store import Store
from napari_rsna_inpaint.store.vocabulary import REASONS, VERDICTS, Reason

__all__ = [
    "REASONS",
    "VERDICTS",
    "Annotated",
    "Event",
    "Reason",
    "Run",
    "Store",
    "Verdict",
    "open_store",
    "pack_region",
    "unpack_region",
]
