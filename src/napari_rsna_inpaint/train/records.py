"""The log of a training run: a CSV, TensorBoard, pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from imagecodecs import png_encode
from torch.utils.tensorboard import SummaryWriter

from napari_rsna_inpaint.io.write import write_atomic, write_csv

COLUMNS = (
    "step",
    "loss",
    "learning_rate",
    "healthy_mae_hu",
    "lesion_contrast",
    "score",
    "seconds",
)


class Records:
    """Writes into the folder of a run: ``log.csv``, ``tensorboard/``, ``pictures/``.

    Parameters
    ----------
    step
        Steps done so far; what TensorBoard holds beyond them is dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def add(self, rows: list[dict[str, float]]) -> None:
        """Write the table of all validations; the last row is new."""
        write_csv(self._folder / "log.csv", rows, COLUMNS)
        row = rows[-1]
        for name in COLUMNS[1:]:
            self._board.add_scalar(name, row[name], int(row["step"]))
        self._board.flush()

    def add_picture(self, step: int, picture: npt.NDArray[np.uint8]) -> None:
        """Keep an RGB picture ``(y, x, 3)``."""
        pictures = self._folder / "pictures"
        pictures.mkdir(exist_ok=True)
        write_atomic(pictures / f"step_{step:07d}.png", png_encode(picture))
        self._board.add_image("completions", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Let TensorBoard finish its file."""
        self._board.close()
