"""``demo``: the whole main job on a sample, in napari."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from napari_rsna_inpaint.commands.common import add_protocol, say_statement

HELP = "run the main job on a built-in sample and open napari"
SCREENSHOT = Path("rsna-inpaint-demo.png")


def add_arguments(parser: ArgumentParser) -> None:
    """Where the picture goes, and another input than the sample."""
    parser.add_argument(
        "--screenshot", type=Path, metavar="PNG", help="save a picture of the window and exit"
    )
    parser.add_argument("--input", type=Path, metavar="INPUT", help="a scan instead of the sample")
    add_protocol(parser)


def run(arguments: Namespace) -> int:
    """Detect in the real window; without a screen, save the picture from a virtual one."""
    from napari_rsna_inpaint import read
    from napari_rsna_inpaint._qt.screen import ensure_display, has_screen
    from napari_rsna_inpaint.evaluate.phantom import head_phantom

    say_statement()
    screenshot = arguments.screenshot
    if screenshot is None and not has_screen():
        screenshot = SCREENSHOT
        print(f"No screen: a virtual one is used, the picture goes to {screenshot}.")
    if arguments.input is not None:
        volume = read(arguments.input)
    else:
        volume = head_phantom(seed=1, bleed="intraparenchymal").volume
    with ensure_display(screenshot_only=screenshot is not None):
        from napari_rsna_inpaint._qt.study import run_demo

        run_demo(volume, screenshot, protocol=arguments.protocol)
    if screenshot is not None:
        print(f"picture of the window in {screenshot}")
    return 0
