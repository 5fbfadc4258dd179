from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from napari_rsna_inpaint._qt import screen
from napari_rsna_inpaint.errors import RsnaInpaintError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11 only")

_PROGRAM = """
import os
from napari_rsna_inpaint._qt.screen import ensure_display
with ensure_display(screenshot_only=True):
    from qtpy.QtWidgets import QApplication, QLabel
    application = QApplication([])
    label = QLabel("x")
    label.show()
    application.processEvents()
    print(application.platformName(), label.grab().width() > 0)
"""


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def test_a_window_for_a_person_is_refused_without_a_screen() -> None:
    with (
        pytest.raises(RsnaInpaintError, match="--screenshot"),
        screen.ensure_display(screenshot_only=False),
    ):
        pass


def test_a_missing_virtual_screen_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with (
        pytest.raises(RsnaInpaintError, match="apt-get install xvfb"),
        screen.ensure_display(screenshot_only=True),
    ):
        pass


def test_platforms_that_draw_a_black_canvas_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    with screen.ensure_display(screenshot_only=True):
        assert "QT_QPA_PLATFORM" not in os.environ
        assert os.environ["DISPLAY"] == ":7"


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed")
def test_a_virtual_screen_is_started_used_and_gone_with_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["xcb", "True"]
