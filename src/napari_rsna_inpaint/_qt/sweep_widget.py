"""The widget "Threshold sweep": move a threshold and see at once what it would show."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.viewer import Viewer
from pydantic import ValidationError
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from napari_rsna_inpaint._qt.message import Message
from napari_rsna_inpaint._qt.reading import Reading
from napari_rsna_inpaint._qt.sweep_job import Cut, curve_job, cut_job
from napari_rsna_inpaint._qt.sweep_overlay import SweepOverlay
from napari_rsna_inpaint._qt.worker import Errand, Job
from napari_rsna_inpaint.detection.result import Square
from napari_rsna_inpaint.errors import RsnaInpaintError
from napari_rsna_inpaint.sweep.files import SETTINGS, about
from napari_rsna_inpaint.sweep.metrics import METRICS
from napari_rsna_inpaint.sweep.regions import Levels
from napari_rsna_inpaint.sweep.run import Sweep
from napari_rsna_inpaint.sweep.settings import SweepSettings, write_settings
from napari_rsna_inpaint.sweep.subject import Subject

if TYPE_CHECKING:
    # matplotlib need not be there
    from napari_rsna_inpaint._qt.sweep_plots import Plot

_WIDTH = 340
#: The whole scan is cut this long after the threshold rests.
_SETTLE_MS = 150
_NO_RESULT = "There is no result to sweep: press Detect in the dock Detect anomalies first."
_NO_PLOTS = "The curves need matplotlib:\npip install 'napari-rsna-inpaint[evaluate]'"
_CLICK = "Click into the image:\nthis shows the square that lies there."
_SAVED = "Saved. Repeat it with: rsna-inpaint sweep RESULT --settings {} -o FOLDER"

#: What is remembered for a model, by its SHA-256.
Load = Callable[[str], dict[str, Any] | None]
Save = Callable[[str, dict[str, Any]], None]
Verdicts = Callable[[], Mapping[str, str]]


class SweepWidget(QWidget):
    """Sweeps the threshold of one metric over the result that is read.

    Parameters
    ----------
    napari_viewer
        The viewer.
    reading
        The study and its result; by default that of the dock "Detect anomalies".
    """

    def __init__(self, napari_viewer: Viewer, reading: Reading | None = None) -> None:
        super().__init__()
        station = None
        if reading is None:
            # the dock itself opens this widget
            from napari_rsna_inpaint._qt.study import dock

            station = dock(napari_viewer)
            reading = station.reading
        self._reading = reading
        self._load: Load = lambda _model: None
        self._save: Save = lambda _model, _settings: None
        self._verdicts: Verdicts = self._own_verdicts
        self._swept: object = None
        self._source: Image | None = None
        self._levels: Levels | None = None
        self._levels_key: object = None
        self._found: Sweep | None = None
        self._overlay: SweepOverlay | None = None
        self._square: Square | None = None
        self._job: Job | None = None
        self._cutting: Job | None = None
        self.metric_box = QComboBox()
        self.size_box = QComboBox()
        self.min_area = QDoubleSpinBox()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.threshold = QDoubleSpinBox()
        self.numbers = QLabel()
        self.point_buttons = [QPushButton() for _ in range(5)]
        self.tabs = QTabBar()
        self.save_button = QPushButton("Save sweep …")
        self.message = Message()
        self.plot = _make_plot(self._drag_line)
        self._exact = 0.0
        self._settling = QTimer(self)
        self._settling.setSingleShot(True)
        self._settling.setInterval(_SETTLE_MS)
        self._lay_out()
        self._connect()
        self._offer_metric()
        self._update()
        if station is not None:
            self.remember(station.load_sweep, station.save_sweep, station.verdict_words)

    def remember(self, load: Load, save: Save, verdicts: Verdicts | None = None) -> None:
        """Keep the chosen settings of every model.

        Parameters
        ----------
        load, save
            Give and take the settings of a model, as plain dictionaries.
        verdicts
            Gives ``"accepted"`` or ``"rejected"`` by the identity of a finding.
        """
        self._load, self._save = load, save
        self._verdicts = verdicts or self._own_verdicts
        self._swept = None
        self._start_if_shown()

    @property
    def resting(self) -> bool:
        """Whether nothing is computed, and nothing waits for it."""
        return self._job is self._cutting is None and not self._settling.isActive()

    # ---- layout --------------------------------------------------------------------------

    def _lay_out(self) -> None:
        for name, metric in METRICS.items():
            self.metric_box.addItem(metric.title, name)
        self.min_area.setRange(0, 5000)
        self.min_area.setDecimals(0)
        self.min_area.setSuffix(" mm²")
        self.min_area.setValue(SweepSettings().min_area_mm2)
        self.min_area.setToolTip("Regions that are smaller in every slice are not shown")
        self.threshold.setKeyboardTracking(False)
        self.threshold.setMinimumWidth(96)
        self.numbers.setWordWrap(True)
        form = QFormLayout()
        form.setVerticalSpacing(4)
        form.addRow("Metric", self.metric_box)
        self._size_label = QLabel("Squares")
        form.addRow(self._size_label, self.size_box)
        form.addRow("Smallest", self.min_area)
        cut = QHBoxLayout()
        cut.addWidget(self.slider, 1)
        cut.addWidget(self.threshold)
        points = QHBoxLayout()
        points.setSpacing(3)
        for button, title in zip(self.point_buttons, _POINTS, strict=True):
            button.setText(title)
            button.setStyleSheet("padding: 3px 2px;")
            points.addWidget(button, 1)
        for title in _TABS:
            self.tabs.addTab(title)
        self.tabs.setDrawBase(False)
        self.setMinimumWidth(_WIDTH)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(5)
        layout.addLayout(form)
        layout.addLayout(cut)
        layout.addLayout(points)
        layout.addWidget(self.numbers)
        layout.addWidget(self.tabs)
        layout.addWidget(QLabel(_NO_PLOTS) if self.plot is None else self.plot, 1)
        layout.addWidget(self.message)
        layout.addWidget(self.save_button)

    def _connect(self) -> None:
        self.metric_box.currentIndexChanged.connect(self._choose_metric)
        self.size_box.currentIndexChanged.connect(self._restart)
        self.min_area.valueChanged.connect(self._restart)
        self.slider.valueChanged.connect(self._slide)
        self.slider.sliderReleased.connect(self._settle)
        self.threshold.valueChanged.connect(self._cut_at)
        self.tabs.currentChanged.connect(self._turn_tab)
        self.save_button.clicked.connect(self._ask_and_save)
        self._settling.timeout.connect(self._settle)
        self._reading.study_changed.connect(self._turn)
        self._reading.result_changed.connect(self._turn)
        for number, button in enumerate(self.point_buttons):
            button.clicked.connect(partial(self._go_to_point, number))

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Sweep what is read."""
        super().showEvent(event)
        viewer = self._reading.viewer
        if self._click not in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.append(self._click)
            viewer.dims.events.current_step.connect(self._show_slice)
        if self._overlay is not None:
            self._overlay.set_visible(True)
        self._start_if_shown()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Leave the viewer as it was."""
        viewer = self._reading.viewer
        if self._click in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._click)
            viewer.dims.events.current_step.disconnect(self._show_slice)
        if self._overlay is not None:
            self._overlay.set_visible(False)
        super().hideEvent(event)

    # ---- settings ------------------------------------------------------------------------

    @property
    def settings(self) -> SweepSettings:
        """What is chosen."""
        square = METRICS[self.metric_box.currentData()].kind == "square"
        return SweepSettings(
            metric=self.metric_box.currentData(),
            size_mm=self.size_box.currentData() if square else None,
            min_area_mm2=self.min_area.value(),
            threshold=self.cut,
        )

    @property
    def cut(self) -> float:
        """The threshold; the box shows fewer digits than an operating point has."""
        shown = self.threshold.value()
        return self._exact if round(self._exact, self.threshold.decimals()) == shown else shown

    def choose(self, settings: SweepSettings) -> None:
        """Take over settings; sizes that this result does not have are left out."""
        for widget in (self.metric_box, self.size_box, self.min_area, self.threshold):
            widget.blockSignals(True)
        self.metric_box.setCurrentIndex(self.metric_box.findData(settings.metric))
        self._offer_metric()
        if settings.size_mm is not None:
            self.size_box.setCurrentIndex(max(self.size_box.findData(settings.size_mm), 0))
        self.min_area.setValue(settings.min_area_mm2)
        if settings.threshold is not None:
            self._exact = settings.threshold
            self.threshold.setValue(settings.threshold)
        for widget in (self.metric_box, self.size_box, self.min_area, self.threshold):
            widget.blockSignals(False)
        self._place_slider()
        self._restart()

    def _offer_metric(self) -> None:
        """Show thresholds and sizes of the metric."""
        metric = METRICS[self.metric_box.currentData()]
        self._size_label.setVisible(metric.kind == "square")
        self.size_box.setVisible(metric.kind == "square")
        own = self._own_threshold() if metric.name == "heatmap" else None
        for widget in (self.slider, self.threshold):
            widget.blockSignals(True)
        self.slider.setRange(0, len(metric.thresholds) - 1)
        self.threshold.setDecimals(3 if metric.step < 0.1 else 1)
        self.threshold.setRange(metric.low, metric.high)
        self.threshold.setSingleStep(metric.step)
        self.threshold.setSuffix(f" {metric.unit}" if metric.unit else "")
        middle = metric.thresholds[len(metric.thresholds) // 3]
        self._exact = float(middle if own is None else own)
        self.threshold.setValue(self._exact)
        for widget in (self.slider, self.threshold):
            widget.blockSignals(False)
        self._place_slider()

    def _own_threshold(self) -> float | None:
        detection = self._reading.detection
        return None if detection is None else detection.run.get("scan", {}).get("finding_heat")

    def _choose_metric(self) -> None:
        self._offer_metric()
        self._restart()

    def _place_slider(self) -> None:
        thresholds = METRICS[self.metric_box.currentData()].thresholds
        self.slider.blockSignals(True)
        self.slider.setValue(int(np.abs(thresholds - self.threshold.value()).argmin()))
        self.slider.blockSignals(False)

    # ---- the study -----------------------------------------------------------------------

    def _turn(self) -> None:
        """Turn to another study or result, or drop one that is gone."""
        self._drop()
        self._swept = None
        self._start_if_shown()

    def _start_if_shown(self) -> None:
        detection = self._reading.detection
        if self.isVisible() and detection is not self._swept:
            self._begin()
        self._update()

    def _begin(self) -> None:
        """Offer the sizes of the result, and take up what was chosen for its model."""
        detection = self._swept = self._reading.detection
        self.size_box.blockSignals(True)
        self.size_box.clear()
        sizes = set() if detection is None else {one.size_mm for one in detection.squares}
        for size in sorted(sizes):
            self.size_box.addItem(f"{size:g} mm", size)
        self.size_box.blockSignals(False)
        if detection is None:
            return
        self._offer_metric()
        stored = self._load(self._model)
        try:
            self.choose(SweepSettings(**(stored or self.settings.model_dump())))
        except (ValidationError, TypeError):
            # kept by another version
            self._restart()

    @property
    def _model(self) -> str:
        detection = self._reading.detection
        return "" if detection is None else str(detection.run.get("model_sha256", ""))

    def _own_verdicts(self) -> Mapping[str, str]:
        detection = self._reading.detection
        listed = [] if detection is None else [*detection.findings, *detection.further]
        return {one.id: one.verdict for one in listed if one.verdict}

    def _drop(self) -> None:
        """Forget the result, and take its layer away."""
        for job in (self._job, self._cutting):
            if job is not None:
                job.cancel()
        overlay = self._overlay
        self._job = self._cutting = self._overlay = None
        self._levels = self._found = self._square = self._source = None
        self._settling.stop()
        if overlay is not None:
            overlay.remove()

    def _restart(self) -> None:
        """Sweep with other settings; the threshold can be moved as soon as its map is there."""
        detection, source = self._reading.detection, self._reading.source
        if detection is None or not self._reading.still(source) or not self.isVisible():
            return
        settings = self.settings
        if METRICS[settings.metric].kind == "square" and settings.size_mm is None:
            self._drop()
            self._update()
            self.message.say("This result has no measured squares: choose a map as metric.")
            return
        if self._job is not None:
            self._job.cancel()
        subject = Subject("this scan", detection, verdicts=dict(self._verdicts()))
        key = settings.metric, settings.size_mm, subject.verdicts
        levels = self._levels if key == self._levels_key else None
        self._levels, self._levels_key, self._source = levels, key, source
        job = self._job = curve_job(subject, settings, levels)
        self.message.say("Sweeping …")
        Errand(
            self,
            job,
            partial(self._on_swept, job),
            partial(self._on_failed, job),
            partial(self._on_levels, job),
        )

    def _on_levels(self, job: Job, levels: Levels) -> None:
        if job is not self._job or not self._reading.still(self._source):
            return
        self._levels = levels
        if self._overlay is None:
            self._overlay = SweepOverlay(self._reading.viewer, self._source, levels.subject.box)
        self._cut_at()

    def _on_swept(self, job: Job, found: Sweep) -> None:
        if job is not self._job:
            return
        self._job, self._found = None, found
        self.message.say("")
        self._update()

    def _on_failed(self, job: Job, error: RsnaInpaintError) -> None:
        if job in (self._job, self._cutting):
            self._job = self._cutting = None
            self.message.complain(error)

    # ---- the threshold -------------------------------------------------------------------

    def _slide(self, step: int) -> None:
        self.threshold.setValue(METRICS[self.metric_box.currentData()].thresholds[step])

    def _drag_line(self, threshold: float, released: bool) -> None:
        """Follow the line in the plot, in steps of the slider."""
        thresholds = METRICS[self.metric_box.currentData()].thresholds
        self.threshold.setValue(thresholds[np.abs(thresholds - threshold).argmin()])
        if released:
            self._settle()

    def _cut_at(self) -> None:
        """Show the slice that is looked at at once, and the whole scan when the threshold rests."""
        self._place_slider()
        if self.plot is not None:
            self.plot.move_line(self.cut)
        if self._levels is None or self._overlay is None:
            return
        z = self._slice()
        if z is not None:
            flagged = self._levels.plane(z, self.cut, self.min_area.value())
            self._overlay.show_plane(z, flagged)
        self._settling.start()

    def _show_slice(self) -> None:
        """Cut a slice that is scrolled to while the whole scan is not there yet."""
        if self._settling.isActive() or self._cutting is not None:
            self._cut_at()

    def _slice(self) -> int | None:
        """Slice that is looked at, or None where the view shows no slices."""
        dims = self._reading.viewer.dims
        if self._source is None or 0 in dims.displayed:
            return None
        z = round(self._source.world_to_data(dims.point)[0])
        return z if 0 <= z < len(self._source.data) else None

    def _settle(self) -> None:
        """Cut the whole scan, count, and remember the threshold."""
        self._settling.stop()
        if self._levels is None or self.slider.isSliderDown():
            return
        job = self._cutting = cut_job(self._levels, self.cut, self.min_area.value())
        Errand(self, job, partial(self._on_cut, job), partial(self._on_failed, job))
        self._save(self._model, self.settings.model_dump())

    def _on_cut(self, job: Job, cut: Cut) -> None:
        if job is not self._cutting or self._overlay is None:
            return
        self._cutting = None
        self._overlay.show(cut.labels > 0)
        parts = [f"<b>{cut.candidates}</b> candidate{'s' * (cut.candidates != 1)}"]
        if cut.squares is not None:
            parts.append(f"<b>{cut.squares}</b> flagged square{'s' * (cut.squares != 1)}")
        parts.append(f"in <b>{cut.slices}</b> slice{'s' * (cut.slices != 1)}")
        self.numbers.setText(", ".join(parts[:-1]) + " " + parts[-1])
        if self.tabs.currentIndex() == _VERDICTS:
            self._draw()

    def _update(self) -> None:
        """Show what there is, and offer what can be done with it."""
        found = self._found
        there = self._reading.detection is not None
        for widget in (self.metric_box, self.size_box, self.min_area, self.slider, self.threshold):
            widget.setEnabled(there)
        if not there:
            self.numbers.setText("")
            self.message.say(_NO_RESULT)
        self.save_button.setEnabled(found is not None)
        for number, button in enumerate(self.point_buttons):
            point = None if found is None else found.points[number]
            button.setEnabled(point is not None and point.threshold is not None)
            if point is not None:
                button.setToolTip(f"{point.name}: {_value(point.threshold)} ({point.basis})")
        self._draw()

    def _go_to_point(self, number: int, _checked: bool = False) -> None:
        threshold = None if self._found is None else self._found.points[number].threshold
        if threshold is not None:
            self._exact = threshold
            self.threshold.setValue(threshold)
            self._cut_at()

    # ---- plots ---------------------------------------------------------------------------

    def _turn_tab(self, tab: int) -> None:
        levels = self._levels
        if tab != _SQUARES and self._overlay is not None and self._square is not None:
            self._overlay.mark(self._square.slice, None)
            self._square = None
        if tab == _VERDICTS and levels is not None and self._verdicts() != levels.subject.verdicts:
            self._restart()
        self._draw()

    def _draw(self) -> None:
        plot, found, tab = self.plot, self._found, self.tabs.currentIndex()
        if plot is None:
            return
        if tab == _SQUARES:
            self._draw_square()
        elif found is None:
            plot.say("")
        elif tab == _VERDICTS:
            plot.show_verdicts(found, self.cut)
        else:
            plot.show_counts(found, self.cut)

    def _draw_square(self) -> None:
        plot, square, detection = self.plot, self._square, self._reading.detection
        if plot is None:
            return
        if square is None or detection is None:
            plot.say(_CLICK)
            return
        y, x = (
            slice(max(int(np.ceil(start)), 0), max(int(np.ceil(start + length)), 0))
            for start, length in ((square.y, square.height), (square.x, square.width))
        )
        part = slice(square.slice, square.last_slice + 1), y, x
        inside = detection.brain_mask[part]
        inpainted = detection.inpainted[part][inside]
        title = (
            f"{square.size_mm:g} mm, slice {square.slice + 1}\n"
            f"mean {square.mean_difference:+.1f}, EMD {square.earth_mover:.1f}, "
            f"SD {square.std_difference:+.1f} HU"
        )
        plot.show_histograms(title, inpainted + detection.residual[part][inside], inpainted)

    def _click(self, viewer: Viewer, event: Any) -> Generator[None, None, None]:
        """Look at the square under a click, while its histogram is shown."""
        yield
        moved = False
        while event.type == "mouse_move":
            moved = True
            yield
        if not moved and event.button == 1 and self.tabs.currentIndex() == _SQUARES:
            self.look_at(event.position)

    def look_at(self, world: Any) -> None:
        """Show the square at a place, the nearest middle first."""
        detection, source = self._reading.detection, self._source
        if detection is None or source is None or not self._reading.still(source):
            return
        z, y, x = source.world_to_data(world)
        size = self.size_box.currentData()
        near = [
            (np.hypot(one.y + one.height / 2 - y, one.x + one.width / 2 - x), k)
            for k, one in enumerate(detection.squares)
            if one.size_mm == size
            and one.slice <= round(z) <= one.last_slice
            and one.y <= y <= one.y + one.height
            and one.x <= x <= one.x + one.width
        ]
        self._square = detection.squares[min(near)[1]] if near else None
        if self._overlay is not None:
            self._overlay.mark(round(z), self._square)
        self._draw()

    # ---- saving --------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write ``sweep.json``, which ``rsna-inpaint sweep --settings`` repeats.

        Raises
        ------
        OutputFailed
            If it cannot be written.
        """
        if self._found is not None:
            write_settings(path, self.settings, about(self._found))

    def _ask_and_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the sweep", SETTINGS, "Sweep (*.json)")
        if not path:
            return
        try:
            self.save(Path(path))
        except RsnaInpaintError as error:
            self.message.complain(error)
        else:
            self.message.say(_SAVED.format(Path(path).name))


_TABS = ("Counts", "Square", "Verdicts")
_SQUARES, _VERDICTS = 1, 2
#: Buttons of the operating points, in the order of `summarise`.
_POINTS = ("Own", "≤ 1", "≤ 3", "≤ 5", "10 %")


def _value(threshold: float | None) -> str:
    return "none" if threshold is None else f"{threshold:.3g}"


def _make_plot(moved: Callable[[float, bool], None]) -> Plot | None:
    """The plot, or None where matplotlib is not installed."""
    try:
        from napari_rsna_inpaint._qt.sweep_plots import Plot
    except ImportError:
        return None
    return Plot(moved)
