"""Cases of the BraTS local synthesis challenge: which there are, and their files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brats.images import Image, read_image
from napari_rsna_inpaint.errors import InputRefused

#: What a case may hold, as ``<case>-<part>.nii.gz``.
T1N, VOIDED, MASK = "t1n", "t1n-voided", "mask"
HEALTHY, UNHEALTHY = "mask-healthy", "mask-unhealthy"
#: Result of a case, named as the evaluation of the challenge expects it
#: (BraTS-inpainting/2023_challenge, evaluation/README.md).
INFERENCE = "t1n-inference"

_FILE = re.compile(
    rf"(?P<case>.+?)-(?P<part>{VOIDED}|{INFERENCE}|{UNHEALTHY}|{HEALTHY}|{T1N}|{MASK})\.nii(\.gz)?"
)
#: Further masks of a case are cases of this name.
EXTRA = "-extra-"

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """Files of one case.

    Attributes
    ----------
    name
        Common beginning of their names.
    files
        By part.
    """

    name: str
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def patient(self) -> str:
        """What all time points and extra masks of a patient share."""
        name = self.name.partition(EXTRA)[0]
        return re.sub(r"(-\d{4,})-\d{1,3}$", r"\1", name)

    def image(self, part: str) -> Image:
        """Read an image of the case.

        Raises
        ------
        InputRefused
            If it is missing or damaged.
        """
        if part not in self.files:
            raise InputRefused(f"The case has no {self.name}-{part}.nii.gz; complete it.")
        return read_image(self.files[part])

    def mask(self, part: str, like: Image) -> BoolArray:
        """Read a mask ``(i, j, k)``, True where it is not 0.

        Raises
        ------
        InputRefused
            If it is missing or damaged, or lies on another grid than ``like``.
        """
        mask = self.image(part)
        if not mask.same_grid(like):
            raise InputRefused(
                f"{self.files[part].name} lies on another grid than the image; fetch it again."
            )
        return mask.stored != 0

    def optional_mask(self, part: str, like: Image) -> BoolArray:
        """The same, empty where the case has no such file."""
        if part not in self.files:
            return np.zeros(like.stored.shape, bool)
        return self.mask(part, like)

    def hole(self, like: Image) -> BoolArray:
        """What is to be completed: ``mask``, or else healthy and unhealthy mask together.

        Raises
        ------
        InputRefused
            If the case has none of them, or it is empty.
        """
        if not {MASK, HEALTHY, UNHEALTHY} & set(self.files):
            raise InputRefused(f"The case has no {self.name}-{MASK}.nii.gz; complete it.")
        if MASK in self.files:
            hole = self.mask(MASK, like)
        else:
            hole = self.optional_mask(HEALTHY, like) | self.optional_mask(UNHEALTHY, like)
        if not hole.any():
            raise InputRefused("The mask is empty: there is nothing to complete.")
        return hole

    def known(self) -> tuple[Image, BoolArray]:
        """Image whose hole is to be completed, and the hole; what is in the hole is void.

        The image is the voided one, or else the whole one.
        """
        image = self.image(VOIDED if VOIDED in self.files else T1N)
        return image, self.hole(image)


def find_cases(folder: Path) -> list[Case]:
    """All cases in a folder and below, by name.

    Raises
    ------
    InputRefused
        If there is no folder or no case, or two files claim to be the same one.
    """
    if not folder.is_dir():
        raise InputRefused(f"There is no folder {folder}; name a folder of cases.")
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.rglob("*.nii*")):
        named = _FILE.fullmatch(path.name)
        if named is None or not path.is_file():
            continue
        files = found.setdefault(named["case"], {})
        if named["part"] in files:
            raise InputRefused(
                f"{folder} holds {path.name} more than once; name a folder with one of them."
            )
        files[named["part"]] = path
    if not found:
        raise InputRefused(
            f"{folder} holds no cases; their files are named <case>-t1n.nii.gz, "
            "<case>-t1n-voided.nii.gz, <case>-mask.nii.gz and so on."
        )
    return [Case(name, files) for name, files in sorted(found.items())]


def brain_of(values: npt.NDArray[Any], hole: BoolArray) -> BoolArray:
    """Brain of a skull-stripped image, all that is above 0, with what its hole belongs to."""
    from scipy import ndimage

    return ndimage.binary_fill_holes((values > 0) | hole)
