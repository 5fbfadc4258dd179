"""The training methods by name, without loading what they need."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_rsna_inpaint.train.method import Method

_PACKAGE = "napari_rsna_inpaint.train"
#: Module and class of every method.
METHODS = {
    "grid": ("grid", "GridMethod"),
    "anoremove": ("anoremove", "AnoRemoveMethod"),
    "wavelet3d": ("wavelet3d", "Wavelet3dMethod"),
    "classifier-guidance": ("classifier_guidance", "ClassifierGuidanceMethod"),
    "cfg": ("cfg", "CfgMethod"),
    "picard": ("picard", "PicardMethod"),
}


def load_method(name: str) -> type[Method]:
    """Class of a training method; loads torch."""
    module, kind = METHODS[name]
    return getattr(import_module(f"{_PACKAGE}.{module}"), kind)
