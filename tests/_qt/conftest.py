from __future__ import annotations

import os
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.detection import run
from napari_rsna_inpaint.detection.identity import input_identity
from napari_rsna_inpaint.detection.result import Detection, Finding, Maps, SliceResult
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.evaluate.phantom import Phantom, head_phantom

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            # windows of several processes would take the focus from each other
            item.add_marker(pytest.mark.xdist_group("gui"))
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    skip = pytest.mark.skip(reason="no screen (set DISPLAY, for example to that of Xvfb)")
    for item in items:
        if HERE in item.path.parents and "gui" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has verdicts and results of its own."""
    monkeypatch.setenv("RSNA_INPAINT_STORE", str(tmp_path / "verdicts.sqlite"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return head_phantom(1, "intraparenchymal", shape=(8, 96, 96), spacing=(5.0, 2.4, 2.4))


@pytest.fixture
def detection(phantom: Phantom) -> Detection:
    """What a perfect detector would return for the phantom."""
    volume, lesion = phantom.volume, phantom.lesion_mask
    where = np.argwhere(lesion)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    finding = Finding(
        id="F1",
        slices=(int(low[0]), int(high[0]) - 1),
        centroid_mm=tuple(volume.to_patient(where.mean(axis=0))),
        bbox=(*map(int, low), *map(int, high)),
        volume_ml=5.0,
        area_mm2=300.0,
        sign="hyper",
        score=7.5,
        mean_hu=60.0,
        mean_residual_hu=25.0,
        scales=[16.0],
    )
    flat = np.zeros(lesion.shape, np.float32)
    return Detection(
        Maps(
            brain_mask=phantom.brain_mask,
            inpainted=volume.hu.astype(np.float32),
            residual=flat,
            heatmap=lesion * np.float32(7.5),
            labels=lesion.astype(np.uint16),
            minimum_distance=flat,
        ),
        findings=[finding],
        slice_scores=lesion.any(axis=(1, 2)) * np.float32(7.5),
        done=np.ones(len(lesion), bool),
        run={"statement": STATEMENT, "input": input_identity(volume), "model_sha256": "none"},
    )


class Engine:
    """Stands in for ``detect``: slices one after the other, as slowly as asked."""

    def __init__(self, detection: Detection) -> None:
        self.detection = detection
        self.seconds = 0.0
        self.error: Exception | None = None
        self.was_cancelled = False
        self.options: dict[str, Any] = {}

    def __call__(
        self,
        volume: Any,
        *,
        on_progress: Callable,
        cancelled: Callable[[], bool],
        **options: Any,
    ) -> Any:
        self.options = options
        detection = deepcopy(self.detection)
        total = len(volume.hu)
        so_far = np.zeros(volume.hu.shape, np.float32)
        running = replace(detection.maps, heatmap=so_far)
        on_progress(0, total, None)
        for z in range(total):
            until = time.monotonic() + self.seconds
            while time.monotonic() < until:
                if cancelled():
                    self.was_cancelled = True
                    detection.done[z:] = False
                    raise Cancelled(partial=detection)
                time.sleep(0.01)
            if self.error is not None and z == 2:
                raise self.error
            so_far[z] = z + 1
            on_progress(z + 1, total, SliceResult(z, running))
        return detection


@pytest.fixture
def fake(detection: Detection, monkeypatch: pytest.MonkeyPatch) -> Engine:
    fake = Engine(detection)
    monkeypatch.setattr(run, "detect", fake)
    return fake
