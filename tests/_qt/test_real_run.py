"""The dock with the real engine and a small untrained network: threads, cancel, layers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt, QTimer

from napari_rsna_inpaint.detection.calibration import CALIBRATION
from napari_rsna_inpaint.diffusion import model, model_folder
from napari_rsna_inpaint.diffusion.unet import PatchUNet, UNetConfig
from napari_rsna_inpaint.evaluate.phantom import head_phantom

pytestmark = pytest.mark.gui


@pytest.fixture
def untrained(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = model.ModelConfig(network=UNetConfig(widths=(32, 32), groups=4))
    torch.manual_seed(0)
    folder = tmp_path / model_folder.DEFAULT_MODELS["grid"]
    model_folder.save_model(folder, PatchUNet(config.network), config)
    shutil.copy(tiny_model / CALIBRATION, folder)
    monkeypatch.setattr(model_folder, "models_folder", lambda: tmp_path)


@pytest.mark.usefixtures("untrained")
def test_cancel_is_prompt_the_window_answers_and_a_second_run_completes(
    make_napari_viewer: Callable, qtbot: Any
) -> None:
    from napari_rsna_inpaint._qt.study import dock, show_study

    viewer = make_napari_viewer(show=True)
    station = dock(viewer)
    widget = station.detect
    volume = head_phantom(1, "subdural", shape=(6, 128, 128), spacing=(5.0, 1.8, 1.8)).volume
    show_study(viewer, volume)
    calls: list[float] = []
    widget.bar.valueChanged.connect(lambda _done: calls.append(time.monotonic()))
    widget.protocol.setCurrentText("full")
    widget.start()
    qtbot.waitUntil(lambda: len(calls) > 3, timeout=60_000)
    stopped: list[float] = []
    widget._job.finished.connect(
        lambda *_: stopped.append(time.monotonic()), Qt.ConnectionType.DirectConnection
    )
    asked = time.monotonic()
    with qtbot.waitSignal(widget.settled, timeout=10_000):
        widget.cancel_button.click()
    # A network call is not interrupted, and a busy processor stretches it.
    assert stopped[0] - asked < 1.5 + np.diff(calls).max()

    # How long the window does not answer while slices come in; making the layers at the
    # start and the end is napari's own work.
    ticks: list[float] = []
    clock = QTimer()
    clock.timeout.connect(
        lambda: ticks.append(time.monotonic()) if widget.bar.value() > 0 else None
    )
    clock.start(20)
    widget.protocol.setCurrentText("interactive")
    widget.settled.connect(clock.stop)
    with qtbot.waitSignal(widget.settled, timeout=120_000) as ended:
        widget.start_button.click()
    assert ended.args == [True], widget.message.text()
    # Loose: other processes share the processor; a blocked window would show seconds.
    assert np.diff(ticks).max() < 1.5
    heat = viewer.layers["Heatmap"].data
    assert heat.shape == volume.hu.shape
    assert heat.max() > 0
    assert np.array_equal(
        viewer.layers["Brain mask"].data > 0, station.reading.detection.brain_mask
    )
    assert station.findings.table.rowCount() == len(station.reading.detection.findings)
