"""``mask``: the brain mask on the input's own grid."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from napari_rsna_inpaint.commands.common import add_input, exit_code, read_noted

HELP = "write the brain mask of a scan"


def add_arguments(parser: ArgumentParser) -> None:
    """INPUT, --series, -o."""
    add_input(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="MASK.nii.gz")


def run(arguments: Namespace) -> int:
    """Write the mask and say its volume."""
    from napari_rsna_inpaint.brain import brain_mask
    from napari_rsna_inpaint.io.write import write_nifti

    volume = read_noted(arguments)
    mask = brain_mask(volume)
    write_nifti(arguments.output, mask.astype("uint8"), volume)
    print(f"intracranial volume {float(mask.sum((1, 2)) @ volume.voxel_volumes_ml):.0f} ml")
    return exit_code(volume)
