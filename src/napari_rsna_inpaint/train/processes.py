"""One process on one device, or several that torchrun has started."""

from __future__ import annotations

import logging
import os

from lightning_fabric import Fabric

from napari_rsna_inpaint.diffusion.model import pick_device
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.train.settings import Precision


def start_fabric(device: str, precision: Precision, batch_size: int) -> Fabric:
    """Join the processes of this run, one device each.

    Parameters
    ----------
    device
        ``auto``, ``cpu`` or ``cuda``.
    precision
        Of the forward pass.

    Raises
    ------
    InputRefused
        If the device is not there or the batch cannot be shared out evenly.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of every setting
    accelerator = pick_device(device).type
    # set by torchrun
    processes = int(os.environ.get("WORLD_SIZE", 1))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if batch_size % processes:
        raise InputRefused(
            f"A batch of {batch_size} cannot be shared out evenly among {processes} processes; "
            "choose another --batch-size."
        )
    fabric = Fabric(
        accelerator=accelerator,
        devices=here,
        num_nodes=processes // here,
        strategy="ddp" if processes > 1 else "auto",
        precision=precision,
    )
    fabric.launch()
    return fabric
