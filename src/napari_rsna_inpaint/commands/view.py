"""``view``: a scan in napari, laid out for reading."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from napari_rsna_inpaint.commands.common import add_input, say_statement
from napari_rsna_inpaint.errors import Cancelled

HELP = "open a scan in napari"


def add_arguments(parser: ArgumentParser) -> None:
    """INPUT and --series."""
    add_input(parser)


def run(arguments: Namespace) -> int:
    """Open the window and wait until it is closed."""
    from napari_rsna_inpaint._qt.screen import ensure_display

    say_statement()
    with ensure_display(screenshot_only=False):
        import napari
        from napari.qt import get_qapp

        from napari_rsna_inpaint._qt.reader import read_asking
        from napari_rsna_inpaint._qt.study import open_viewer

        # the question which series is meant needs an application, but no viewer yet
        get_qapp()
        volume = read_asking(arguments.input, arguments.series)
        if volume is None:
            return Cancelled.exit_code
        open_viewer(volume=volume)
        napari.run()
    return 0
