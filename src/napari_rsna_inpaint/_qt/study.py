"""A study opened and laid out for reading, and the demonstration of the main job."""

from __future__ import annotations

import signal
from pathlib import Path

import napari
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel

from napari_rsna_inpaint._qt.canvas_text import write_on_canvas
from napari_rsna_inpaint._qt.detect_widget import DetectWidget
from napari_rsna_inpaint._qt.layers import FULL_RANGE_HU, ct_layer
from napari_rsna_inpaint._qt.live import middle_of_brain
from napari_rsna_inpaint._qt.reader import read_asking
from napari_rsna_inpaint.errors import Cancelled, RsnaInpaintError
from napari_rsna_inpaint.volume import CTVolume

_PLUGIN = "napari-rsna-inpaint"
_DOCK = "Detect anomalies"
_WINDOW = (1280, 800)
_FILES = "Head CT (*.dcm *.dicom *.ima *.zip *.nii *.nii.gz);;All files (*)"


def open_viewer(
    input_path: str | Path | None = None,
    *,
    volume: CTVolume | None = None,
    series: str | None = None,
    show: bool = True,
) -> napari.Viewer:
    """Open a window with a study laid out for reading and the dock open.

    Parameters
    ----------
    input_path
        Whatever ``read`` takes; ignored if a volume is given.
    volume
        A volume that was read already.
    series
        Which series of the input.
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
    viewer.theme = "dark"
    viewer.window.resize(*_WINDOW)
    dock(viewer)
    if show:
        # The canvas must have its final size before a study is fitted into it.
        QApplication.processEvents()
    if volume is not None:
        show_study(viewer, volume)
    return viewer


def dock(viewer: napari.Viewer) -> DetectWidget:
    """Return the detection dock of a viewer, opening it if needed."""
    frame, widget = viewer.window.add_plugin_dock_widget(_PLUGIN, _DOCK)
    bar = frame.titleBarWidget()
    # napari appends the plugin's name, which a narrow dock cuts off.
    title = None if bar is None else bar.findChild(QLabel)
    if title is not None:
        title.setText(_DOCK)
    return widget


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
    viewer.reset_view()
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
        dock(viewer)
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
    viewer = open_viewer(volume=volume)
    widget = dock(viewer)
    widget.protocol.setCurrentText(protocol)
    widget.settled.connect(lambda _complete: widget.show_finding(1))
    if screenshot is None:
        widget.start()
        napari.run()
        return
    try:
        if not _run_to_the_end(widget):
            raise widget.error or RsnaInpaintError(widget.message.text())
        # Layout and canvas settle over a few turns of the event loop.
        loop = QEventLoop()
        QTimer.singleShot(1000, loop.quit)
        loop.exec()
        viewer.window.screenshot(str(screenshot), flash=False, canvas_only=False)
    finally:
        viewer.close()


def _run_to_the_end(widget: DetectWidget) -> bool:
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
        widget.cancel()

    widget.settled.connect(settle)
    # Python handles signals only when it runs, so it is woken now and then.
    pulse = QTimer()
    pulse.timeout.connect(lambda: None)
    pulse.start(200)
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        widget.start()
        if not outcome and widget.running:
            loop.exec()
    finally:
        signal.signal(signal.SIGINT, before)
        pulse.stop()
        widget.settled.disconnect(settle)
    if interrupted:
        raise Cancelled
    return outcome == [True]
