"""A screen to draw on, also on a machine that has none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from napari_rsna_inpaint.errors import RsnaInpaintError

_PACKAGES = (
    "xvfb xauth libegl1 libgl1 libgl1-mesa-dri libxkbcommon-x11-0 libdbus-1-3 libxcb-cursor0 "
    "libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libfontconfig1 libglib2.0-0"
)

# With -terminate the server ends by itself after its last client: killing it while Qt is
# still connected would abort the process.
_SERVER_OPTIONS = ("-displayfd", "1", "-screen", "0", "1920x1200x24", "-terminate")


@contextmanager
def ensure_display(screenshot_only: bool) -> Iterator[None]:
    """Make sure a window can be drawn; enter before Qt is first used.

    Parameters
    ----------
    screenshot_only
        Nobody needs to see the window: without a screen, draw on a virtual one.

    Raises
    ------
    RsnaInpaintError
        If there is no screen and a virtual one cannot be started or would not help.
    """
    if has_screen():
        if os.environ.get("QT_QPA_PLATFORM") in {"offscreen", "minimal"}:
            # These platforms draw the widgets but leave napari's canvas black.
            del os.environ["QT_QPA_PLATFORM"]
        yield
        return
    if not screenshot_only:
        raise RsnaInpaintError(
            "No screen was found (DISPLAY and WAYLAND_DISPLAY are not set): run this in a "
            "desktop session, or get a picture with "
            "'rsna-inpaint demo --input INPUT --screenshot PNG'."
        )
    program = shutil.which("Xvfb")
    if program is None:
        raise RsnaInpaintError(
            "No screen was found and Xvfb is not installed; on Debian or Ubuntu: "
            f"apt-get install {_PACKAGES}"
        )
    server = subprocess.Popen(
        [program, *_SERVER_OPTIONS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert server.stdout is not None
    number = server.stdout.readline().decode().strip()
    if not number:
        server.kill()
        raise RsnaInpaintError(
            "The virtual screen (Xvfb) did not start; is /tmp writable? On Debian or Ubuntu: "
            f"apt-get install {_PACKAGES}"
        )
    platform = os.environ.pop("QT_QPA_PLATFORM", None)
    os.environ["DISPLAY"] = f":{number}"
    try:
        yield
    finally:
        del os.environ["DISPLAY"]
        if platform is not None:
            os.environ["QT_QPA_PLATFORM"] = platform
        if not _qt_is_running():
            server.terminate()


def has_screen() -> bool:
    """Tell whether a window could be shown to somebody."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _qt_is_running() -> bool:
    if "qtpy.QtWidgets" not in sys.modules:
        return False
    from qtpy.QtWidgets import QApplication

    return QApplication.instance() is not None
