from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.phantom import Phantom

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def gone(qtbot: Any) -> Iterator[None]:
    """Let a window that was closed go before the next test looks for what is left."""
    yield
    gc.collect()
    qtbot.wait(100)


@pytest.mark.usefixtures("qapp")
def test_the_demo_saves_a_picture_of_the_whole_window(
    fake: Any, phantom: Phantom, tmp_path: Path
) -> None:
    from napari_rsna_inpaint._qt.study import run_demo

    picture = tmp_path / "window.png"
    run_demo(phantom.volume, picture)
    assert list((tmp_path / "data").rglob("run.json")), "closed before the result was kept"
    pixels = imageio.imread(picture)[..., :3].astype(int)
    assert pixels.shape[0] >= 700
    assert pixels.shape[1] >= 1100
    canvas = pixels[100:650, 400:850]
    assert (canvas.min(axis=-1) > 240).mean() > 0.02, "no skull in the picture"
    yellow = (canvas[..., 0] > 200) & (canvas[..., 2] < 130)
    assert yellow.any(), "no finding in the picture"
    assert np.ptp(pixels[:, 960:]) > 150, "no dock in the picture"


@pytest.mark.usefixtures("qapp")
def test_a_demo_that_fails_says_so_and_leaves_no_picture(
    fake: Any, phantom: Phantom, tmp_path: Path
) -> None:
    from napari_rsna_inpaint._qt.study import run_demo

    fake.error = InputRefused("No model is installed.")
    picture = tmp_path / "window.png"
    with pytest.raises(InputRefused, match="No model is installed"):
        run_demo(phantom.volume, picture)
    assert not picture.exists()
