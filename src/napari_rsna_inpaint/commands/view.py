"""``view``: a scan in napari, laid out for reading."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from napari_rsna_inpaint.commands.common import add_input, say_statement

HELP = "open a scan in napari"


def add_arguments(parser: ArgumentParser) -> None:
    """INPUT and --series."""
    add_input(parser)


def run(arguments: Namespace) -> int:
    """Open the window and wait until it is closed."""
    from napari_rsna_inpaint import read
    from napari_rsna_inpaint._qt.screen import ensure_display

    say_statement()
    volume = read(arguments.input, arguments.series)
    with ensure_display(screenshot_only=False):
        import napari

        from napari_rsna_inpaint._qt.study import open_viewer

        open_viewer(volume=volume)
        napari.run()
    return 0
