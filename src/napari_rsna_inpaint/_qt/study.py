"""A study opened and laid out for reading, and the demonstration of the main job."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import napari
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtWidgets import QApplication, QDockWidget, QFileDialog, QMainWindow, QWidget

from napari_rsna_inpaint._qt.canvas_text import write_on_canvas
from napari_rsna_inpaint._qt.detect_panel import DetectPanel
from napari_rsna_inpaint._qt.docks import itself, retitle
from napari_rsna_inpaint._qt.framing import fit_head
from napari_rsna_inpaint._qt.layers import FULL_RANGE_HU, ct_layer
from napari_rsna_inpaint._qt.live import middle_of_brain
from napari_rsna_inpaint._qt.reader import read_asking
from napari_rsna_inpaint._qt.settings import settings
from napari_rsna_inpaint._qt.side_views import SideViews
from napari_rsna_inpaint._qt.workstation import Workstation
from napari_rsna_inpaint.errors import Cancelled, RsnaInpaintError
from napari_rsna_inpaint.volume import CTVolume

_PLUGIN = "napari-rsna-inpaint"
_DOCK = "Detect anomalies"
_SIDE_DOCK = "Coronal and sagittal"
_THEME = "rsna-reading"
#: The smallest window that everything fits into, and the largest that is opened.
_SMALLEST, _LARGEST = (1280, 800), (1920, 1200)
#: Part of the window's width that the side views take.
_SIDE_PART = 0.19
#: napari's numbers beside the slider: it counts from 0 and from the head, the canvas as the file.
_STEP_NUMBERS = ("slice_label", "slice_label_sep")
_FILES = "Head CT (*.dcm *.dicom *.ima *.zip *.nii *.nii.gz);;All files (*)"


def open_viewer(
    input_path: str | Path | None = None,
    *,
    volume: CTVolume | None = None,
    series: str | None = None,
    size: tuple[int, int] | None = None,
    show: bool = True,
) -> napari.Viewer:
    """Open a window with a study laid out for reading.

    Parameters
    ----------
    input_path
        Whatever ``read`` takes; ignored if a volume is given.
    volume
        A volume that was read already.
    series
        Which series of the input.
    size
        Width and height of the window; what the screen offers by default.
    show
        Whether the window appears.

    Returns
    -------
    napari.Viewer
        Call ``napari.run()`` to keep it open.
    """
    if volume is None and input_path is not None:
        volume = read_asking(input_path, series)
    viewer = napari.Viewer(title="Healthy-brain inpainting", show=show)
    try:
        viewer.theme = _THEME
    except ValueError:
        # napari has not loaded the themes of plugins
        viewer.theme = "dark"
    viewer.window.resize(*(size or _offered()))
    lay_out(viewer)
    if show:
        # The canvas must have its final size before a study is fitted into it.
        QApplication.processEvents()
    if volume is not None:
        show_study(viewer, volume)
    return viewer


def _offered() -> tuple[int, int]:
    """Width and height of a window that fills the screen, within limits."""
    screen = QApplication.primaryScreen()
    if screen is None:
        return _SMALLEST
    offered = screen.availableGeometry()
    width, height = (
        min(max(side, least), most)
        for side, least, most in zip(
            (offered.width(), offered.height()), _SMALLEST, _LARGEST, strict=True
        )
    )
    return width, height


def dock(viewer: napari.Viewer) -> Workstation:
    """Return the dock of a viewer, opening it if needed."""
    frame, widget = viewer.window.add_plugin_dock_widget(_PLUGIN, _DOCK)
    retitle(frame, _DOCK)
    return widget


def _frame(viewer: napari.Viewer) -> QDockWidget:
    return itself(viewer.window.add_plugin_dock_widget(_PLUGIN, _DOCK)[0])


def _window(viewer: napari.Viewer) -> QMainWindow:
    window = _frame(viewer).parent()
    assert isinstance(window, QMainWindow)
    return window


def lay_out(viewer: napari.Viewer) -> None:
    """Arrange a window for reading: a large canvas, side views beside it, the dock.

    napari's layer list is a tab behind the dock and its layer controls are closed, since they
    would take the width that the head needs; its Window menu brings them back.
    """
    main, window = _frame(viewer), _window(viewer)
    if _SIDE_DOCK in viewer.window.dock_widgets:
        return
    widths = {main: dock(viewer).minimumWidth()}
    if settings().side_views:
        views = SideViews(itself(viewer))
        itself(dock(viewer)).reading.images_changed.connect(views.refresh)
        frame = itself(viewer.window.add_dock_widget(views, name=_SIDE_DOCK, area="right"))
        window.splitDockWidget(frame, main, Qt.Orientation.Horizontal)
        widths[frame] = round(_SIDE_PART * window.width())
    docks = {frame.objectName(): frame for frame in window.findChildren(QDockWidget)}
    controls, layers = docks.get("layer controls"), docks.get("layer list")
    if controls is not None and layers is not None:
        controls.hide()
        window.tabifyDockWidget(main, layers)

    def settle() -> None:
        settling.deleteLater()
        main.raise_()
        window.resizeDocks(list(widths), list(widths.values()), Qt.Orientation.Horizontal)

    # Qt heeds both only once the docks lie where they were put.
    settling = QTimer(window)
    settling.setSingleShot(True)
    settling.timeout.connect(settle)
    settling.start(0)


def show_study(viewer: napari.Viewer, volume: CTVolume) -> Image:
    """Add a volume: axial, brain window, middle of the brain."""
    data, options, _ = ct_layer(volume)
    layer = viewer.add_image(data, **options)
    layer.contrast_limits_range = FULL_RANGE_HU
    layer.contrast_limits = options["contrast_limits"]
    write_on_canvas(viewer)
    viewer.dims.ndisplay = 2
    viewer.dims.order = (0, 1, 2)
    middle = (middle_of_brain(volume), *(n // 2 for n in volume.hu.shape[1:]))
    viewer.dims.set_point(range(3), layer.data_to_world(middle))
    fit_head(viewer, layer)
    for name in _STEP_NUMBERS:
        for label in _window(viewer).findChildren(QWidget, name):
            label.hide()
    return layer


def open_folder(viewer: napari.viewer.Viewer) -> None:
    """Ask for a folder with a CT study and open it."""
    _open(viewer, QFileDialog.getExistingDirectory(None, "Open a CT study"))


def open_file(viewer: napari.viewer.Viewer) -> None:
    """Ask for a DICOM, zip or NIfTI file and open it."""
    path, _ = QFileDialog.getOpenFileName(None, "Open a CT study", "", _FILES)
    _open(viewer, path)


def _open(viewer: napari.Viewer, path: str) -> None:
    if not path:
        return
    try:
        volume = read_asking(path)
    except RsnaInpaintError as error:
        show_error(str(error))
        return
    if volume is not None:
        lay_out(viewer)
        # The canvas must have its final size before a study is fitted into it.
        QApplication.processEvents()
        show_study(viewer, volume)


def run_demo(volume: CTVolume, screenshot: Path | None = None, protocol: str = "fast") -> None:
    """Do the main job in a real window: open, detect, go to the first finding.

    Parameters
    ----------
    volume
        The study.
    screenshot
        Save a picture of the whole window there and close it; None leaves it open until
        the user closes it.
    protocol
        As for ``detect``.

    Raises
    ------
    RsnaInpaintError
        If the detection failed and nobody is there to read the window.
    Cancelled
        On Ctrl+C before the picture was taken.
    """
    viewer = open_viewer(volume=volume, size=None if screenshot is None else _SMALLEST)
    widget = dock(viewer)
    panel = widget.detect
    panel.protocol.setCurrentText(protocol)
    panel.settled.connect(lambda _complete: widget.next_finding())
    if screenshot is None:
        panel.start()
        napari.run()
        return
    try:
        if not _run_to_the_end(panel):
            raise panel.error or RsnaInpaintError(panel.message.text())
        # Layout and canvas settle over a few turns of the event loop.
        loop = QEventLoop()
        QTimer.singleShot(1000, loop.quit)
        loop.exec()
        viewer.window.screenshot(str(screenshot), flash=False, canvas_only=False)
    finally:
        # Without napari's own event loop nobody waits for what still works in the background.
        while widget.busy:
            QApplication.processEvents()
            time.sleep(0.01)
        viewer.close()


def _run_to_the_end(panel: DetectPanel) -> bool:
    """Detect while the window lives on; Ctrl+C stops it.

    Returns
    -------
    bool
        Whether the result is complete.
    """
    loop = QEventLoop()
    outcome: list[bool] = []
    interrupted: list[bool] = []

    def settle(complete: bool) -> None:
        outcome.append(complete)
        loop.quit()

    def interrupt(*_: object) -> None:
        interrupted.append(True)
        panel.cancel()

    panel.settled.connect(settle)
    # Python handles signals only when it runs, so it is woken now and then.
    pulse = QTimer()
    pulse.timeout.connect(lambda: None)
    pulse.start(200)
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        panel.start()
        if not outcome and panel.running:
            loop.exec()
    finally:
        signal.signal(signal.SIGINT, before)
        pulse.stop()
        panel.settled.disconnect(settle)
    if interrupted:
        raise Cancelled
    return outcome == [True]
