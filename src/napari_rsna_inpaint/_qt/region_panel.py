"""The tab "Region": draw a region, complete it anew, look, and accept or discard."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_rsna_inpaint._qt.message import Message
from napari_rsna_inpaint._qt.reading import Reading
from napari_rsna_inpaint._qt.region_drawing import TOOLS, RegionDrawing
from napari_rsna_inpaint._qt.region_job import (
    Completion,
    Outcome,
    Progress,
    RegionStudy,
    preparation_job,
    region_job,
)
from napari_rsna_inpaint._qt.region_preview import VIEWS, RegionPreview
from napari_rsna_inpaint._qt.worker import Job
from napari_rsna_inpaint.detection.edits import IMAGES, Edit, shown
from napari_rsna_inpaint.detection.findings import Box
from napari_rsna_inpaint.errors import InputRefused, RsnaInpaintError

if TYPE_CHECKING:
    # It loads torch; that takes seconds and must not happen in the window.
    from napari_rsna_inpaint.detection.region_judge import RegionNumbers

MOST_SAMPLES = 32

_START = "Draw a region inside the skull: choose Polygon, Brush or Box."
_HINTS = {
    "polygon": "Click the corners; double-click or Enter closes it.",
    "paint": "Paint; [ and ] change the size of the brush.",
    "box": "Drag from corner to corner.",
    "erase": "Erase; [ and ] change the size of the brush.",
}
_MORE = " Draw on as many slices as you like, then press X."
_NO_CT = "Open a CT study first: File > IO Utilities > Open CT study, or a sample."
_NO_RESULT = "There is no result to put it into: press Detect first."
_ROWS = (
    ("Volume", "volume_ml", "{:.1f} ml"),
    ("Original", "mean_hu", "{:.1f} HU"),
    ("Completed", "completed_hu", "{:.1f} HU"),
    ("Residual", "residual_hu", "{:+.1f} HU"),
    ("z against healthy", "z", "{:+.1f}"),
    ("Spread", "spread_hu", "{:.1f} HU"),
    ("Min. distance", "minimum_distance_hu", "{:.1f} HU"),
)


class RegionPanel(QWidget):
    """Re-inpaints drawn regions of the study that is read.

    Signals
    -------
    started
        The model is about to be used.
    accepted
        An `Edit` that was written into the result. Whoever cannot keep it takes it back by
        `undo_edit`; drawing and preview then stay for another attempt.
    message
        A sentence on what happened, for the reader.

    Parameters
    ----------
    reading
        The study and its result.
    options
        Gives ``device``, ``model``, ``backend``, ``protocol`` and ``samples`` when asked.
    """

    started = Signal()
    accepted = Signal(object)
    message = Signal(str)

    def __init__(self, reading: Reading, options: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._reading = reading
        self._options = options
        self._study: RegionStudy | None = None
        self._preparing: Job | None = None
        self._job: Job | None = None
        self._source: Image | None = None
        self._preview: RegionPreview | None = None
        self._outcome: Outcome | None = None
        #: Decides which completions are drawn: the same seed gives the same picture.
        self.seed = 0
        self.drawing = RegionDrawing(reading)
        self.tools = {tool: _button(name, checkable=True) for tool, name in TOOLS.items()}
        self.clear_button = _button("Clear")
        self.samples = QSpinBox()
        self.seed_label = QLabel()
        self.seed_button = _button("New seed")
        self.start_button = _button("Complete anew  X")
        self.cancel_button = _button("Cancel")
        self.bar = QProgressBar()
        self.line = Message()
        self.view = QComboBox()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider_label = QLabel()
        self.original_button = _button("Show original", checkable=True)
        self.accept_button = _button("Accept  Enter")
        self.discard_button = _button("Discard  Esc")
        self.numbers = {name: QLabel() for _, name, _ in _ROWS}
        self._lay_out()
        self._connect()
        self._update()
        self.line.say(_START)

    def _lay_out(self) -> None:
        for widget in (self.view, self.slider):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        tools = QHBoxLayout()
        tools.setSpacing(3)
        for button in (*self.tools.values(), self.clear_button):
            tools.addWidget(button, 1)
        self.samples.setRange(1, MOST_SAMPLES)
        self.samples.setValue(self._options()["samples"])
        self.samples.setToolTip("How many completions are drawn")
        drawn = QHBoxLayout()
        drawn.addWidget(QLabel("Completions"))
        drawn.addWidget(self.samples)
        drawn.addStretch(1)
        drawn.addWidget(self.seed_label)
        drawn.addWidget(self.seed_button)
        self.seed_button.setToolTip("Draw other completions; the same seed gives the same ones")
        run = QHBoxLayout()
        run.addWidget(self.start_button, 1)
        run.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 4)
        for part in (tools, drawn, run):
            layout.addLayout(part)
        layout.addWidget(self.bar)
        layout.addWidget(self.line)
        layout.addWidget(self._results())
        layout.addStretch(1)

    def _results(self) -> QWidget:
        for view, name in VIEWS.items():
            self.view.addItem(name, view)
        self.slider.setMinimum(0)
        self.slider_label.setMinimumWidth(52)
        look = QGridLayout()
        look.setColumnStretch(1, 1)
        look.addWidget(QLabel("Show"), 0, 0)
        look.addWidget(self.view, 0, 1)
        look.addWidget(self.original_button, 0, 2)
        look.addWidget(self.slider_label, 1, 0)
        look.addWidget(self.slider, 1, 1, 1, 2)
        table = QFormLayout()
        table.setVerticalSpacing(2)
        for title, name, _ in _ROWS:
            label = self.numbers[name]
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            table.addRow(title, label)
        decide = QHBoxLayout()
        decide.addWidget(self.accept_button, 1)
        decide.addWidget(self.discard_button, 1)
        self.results = QWidget()
        layout = QVBoxLayout(self.results)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (look, table, decide):
            layout.addLayout(part)
        return self.results

    def _connect(self) -> None:
        for tool, button in self.tools.items():
            button.clicked.connect(partial(self._choose_tool, tool))
        self.drawing.tool_changed.connect(self._show_tool)
        self.clear_button.clicked.connect(self.clear)
        self.seed_button.clicked.connect(self.new_seed)
        self.start_button.clicked.connect(self.reinpaint)
        self.cancel_button.clicked.connect(self.cancel)
        self.view.currentIndexChanged.connect(self._look)
        self.slider.valueChanged.connect(self._look)
        self.original_button.toggled.connect(self._look)
        self.accept_button.clicked.connect(self.accept)
        self.discard_button.clicked.connect(self.discard)
        self._reading.study_changed.connect(self._on_study_changed)
        self._reading.result_changed.connect(self._update)
        self._reading.viewer.layers.events.removed.connect(self._on_layer_removed)

    # ---- drawing -------------------------------------------------------------------------

    def start_drawing(self, tool: str = "paint") -> None:
        """Draw with ``"polygon"``, ``"paint"``, ``"box"`` or ``"erase"``."""
        if self._reading.volume is None:
            self.line.say(_NO_CT)
            return
        self.drawing.start(tool)
        self._prepare()

    def clear(self) -> None:
        """Take the drawn region away, and its preview."""
        self._let_go()
        self.drawing.clear()
        self.line.say(_START)

    def region_mask(self) -> npt.NDArray[np.bool_] | None:
        """What is drawn, ``(z, y, x)`` on the grid of the CT, or None if that is nothing."""
        return self.drawing.mask()

    def _choose_tool(self, tool: str, _checked: bool = False) -> None:
        if self.tools[tool].isChecked():
            # it is drawn with only if there is something to draw on
            self.tools[tool].setChecked(False)
            self.start_drawing(tool)
        else:
            self.drawing.stop()

    def _show_tool(self, tool: str) -> None:
        for name, button in self.tools.items():
            button.setChecked(name == tool)
        if tool:
            self.line.say(_HINTS[tool] + _MORE)

    # ---- completing ----------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether completions are drawn at the moment."""
        return self._job is not None

    @property
    def pending(self) -> bool:
        """Whether a finished preview waits to be accepted or discarded."""
        return self._outcome is not None

    def new_seed(self) -> None:
        """Choose other completions; where there is a preview, draw them."""
        self.seed = secrets.randbelow(10_000)
        self._update()
        if self.pending:
            self.reinpaint()

    def reinpaint(self) -> None:
        """Complete what is drawn; the first completion is shown as soon as it is there."""
        if self.running:
            return
        source = self._reading.source
        if source is None or self._reading.volume is None:
            self.line.say(_NO_CT)
            return
        region = self.region_mask()
        if region is None:
            self.line.say(_START)
            return
        self.started.emit()
        self._let_go()
        self.drawing.stop()
        self._source = source
        self._preview = RegionPreview(
            self._reading.viewer, source, _box(region), under=self.drawing.layer
        )
        job = region_job(
            self._study_to_complete(),
            region,
            samples=self.samples.value(),
            seed=self.seed,
            detection=self._reading.detection,
        )
        job.progressed.connect(self._on_progress)
        job.finished.connect(self._on_finished)
        job.failed.connect(self._on_failed)
        self.destroyed.connect(job.cancel)
        self._job = job
        self.bar.setRange(0, 0)
        self.line.say("Preparing …")
        self._update()
        job.start()

    def cancel(self) -> None:
        """Stop drawing completions; those that were shown are dropped."""
        if self.running:
            self._let_go()
            self.line.say("Stopped.")

    def _prepare(self) -> None:
        """Load the model and find the brain while the region is drawn."""
        study = self._study
        if self._study_to_complete() is study:
            return
        if self._preparing is not None:
            self._preparing.cancel()
        self._preparing = preparation_job(self._study_to_complete(), self._reading.detection)
        self.destroyed.connect(self._preparing.cancel)
        self._preparing.start()

    def _study_to_complete(self) -> RegionStudy:
        """The study that is read, as made ready before where nothing was changed since."""
        volume = self._reading.volume
        assert volume is not None
        wanted = ("device", "model", "backend", "protocol")
        options = {name: value for name, value in self._options().items() if name in wanted}
        study = self._study
        if study is None or study.volume is not volume or study.options != options:
            study = self._study = RegionStudy(volume, options)
        return study

    def _on_progress(self, progress: Progress | Completion) -> None:
        preview = self._preview
        if self.sender() is not self._job or preview is None:
            return
        if not self._reading.still(self._source):
            self._let_go()
        elif isinstance(progress, Progress):
            self.bar.setRange(0, progress.total)
            self.bar.setValue(progress.done)
        elif not preview.count or preview.open:
            preview.add(progress.slices, progress.image)
            if preview.count == 1:
                self.drawing.outline()
                self.line.say("The first completion is shown; the others follow.")
            self._update()

    def _on_finished(self, outcome: Outcome | None, cancelled: bool) -> None:
        if self.sender() is not self._job:
            return
        preview = self._preview
        if cancelled or outcome is None or preview is None or not preview.open:
            self._let_go()
            return
        self._job = None
        preview.finish(outcome.result)
        self._outcome = outcome
        self._show_numbers(outcome.numbers)
        self.line.say("The mean is shown. Accept puts it into the result.")
        self._update()

    def _on_failed(self, error: RsnaInpaintError) -> None:
        if self.sender() is self._job:
            self._let_go()
            self.line.complain(error)

    def _let_go(self) -> None:
        """Drop the job and the preview; the region stays."""
        job, preview = self._job, self._preview
        # first, since taking the layer away comes back here
        self._job = self._preview = self._outcome = self._source = None
        if job is not None:
            job.cancel()
        if preview is not None:
            preview.remove()
        layer = self.drawing.layer
        if layer is not None:
            self.drawing.fill(layer)
        self._update()

    # ---- looking -------------------------------------------------------------------------

    def toggle_original(self) -> None:
        """Change between the completion and the original."""
        self.original_button.toggle()

    def _look(self) -> None:
        preview = self._preview
        self._label_slider()
        if preview is not None and preview.open and preview.layer is not None:
            preview.show(self.view.currentData(), self.slider.value())
            preview.layer.visible = not self.original_button.isChecked()

    def _label_slider(self) -> None:
        number, last = self.slider.value(), self.slider.maximum()
        self.slider.setEnabled(self.view.currentData() == "completion")
        self.slider_label.setText(f"{number} of {last}" if number else "Mean")

    def _show_numbers(self, numbers: RegionNumbers) -> None:
        for _, name, words in _ROWS:
            self.numbers[name].setText(words.format(getattr(numbers, name)))

    # ---- deciding ------------------------------------------------------------------------

    def accept(self) -> None:
        """Put the mean of the completions into the result, as one step."""
        outcome, detection = self._outcome, self._reading.detection
        if outcome is None or not self._reading.still(self._source):
            return
        if detection is None:
            self.line.say(_NO_RESULT)
            return
        edit = outcome.edit
        if edit is None or outcome.detection is not detection or not edit.fits(detection):
            # the result is another one than when the region was completed
            edit = outcome.judge.consequences(outcome.result, detection)
        edit.apply(detection)
        self._refresh()
        self.accepted.emit(edit)
        if edit.applied(detection):
            self.clear()
            self.line.say("Accepted. Undo (Z) takes it back.")

    def discard(self) -> None:
        """Drop the preview; the drawn region stays."""
        if self.running or self.pending:
            self._let_go()
            self.line.say("Discarded; the region is still there.")

    def undo_edit(self, edit: Edit) -> None:
        """Take an accepted edit back.

        Raises
        ------
        InputRefused
            If the result that is shown does not hold it.
        """
        detection = self._reading.detection
        if detection is None or not edit.applied(detection):
            raise InputRefused(
                "The result was changed since this region was accepted, so it cannot be taken back."
            )
        edit.revert(detection)
        self._refresh()

    def redo_edit(self, edit: Edit) -> None:
        """Accept an edit again.

        Raises
        ------
        InputRefused
            If the result that is shown is not what it was accepted into.
        """
        detection = self._reading.detection
        if detection is None or not edit.fits(detection):
            raise InputRefused(
                "The result was changed since this region was drawn: complete it anew."
            )
        edit.apply(detection)
        self._refresh()

    def _refresh(self) -> None:
        """Let the layers show the images as they are now."""
        detection = self._reading.detection
        assert detection is not None
        for name in IMAGES:
            layer = self._reading.layer(name.capitalize())
            if layer is None:
                continue
            image = shown(detection, name)
            if layer.data is image:
                layer.refresh(thumbnail=False, extent=False)
            else:
                layer.data = image
        self._reading.images_changed.emit()

    # ---- the study -----------------------------------------------------------------------

    def _on_study_changed(self) -> None:
        self._let_go()
        self._study = None
        if self._preparing is not None:
            self._preparing.cancel()
        self.line.say(_START)

    def _on_layer_removed(self, event: Any) -> None:
        preview = self._preview
        if preview is None:
            return
        gone = self._source not in self._reading.viewer.layers
        if gone or event.value is preview.layer or self.drawing.layer is None:
            self._let_go()
            self.line.say(
                "The CT was closed, so the completion was dropped."
                if gone
                else "The layer was removed, so the completion was dropped."
            )

    def _update(self) -> None:
        """Show what can be done now."""
        count = 0 if self._preview is None else self._preview.count
        self.seed_label.setText(f"Seed {self.seed}")
        self.start_button.setEnabled(not self.running)
        self.samples.setEnabled(not self.running)
        self.seed_button.setEnabled(not self.running)
        self.cancel_button.setEnabled(self.running)
        self.bar.setVisible(self.running)
        self.results.setVisible(count > 0)
        self.slider.setMaximum(count)
        self.view.setEnabled(self.pending)
        if not count:
            self.view.setCurrentIndex(0)
            self.original_button.setChecked(False)
            for label in self.numbers.values():
                label.setText("")
        self._label_slider()
        has_result = self._reading.detection is not None
        self.accept_button.setEnabled(self.pending and has_result)
        self.accept_button.setToolTip("" if has_result else _NO_RESULT)


def _button(text: str, *, checkable: bool = False) -> QPushButton:
    """A button that leaves the keys to the picture."""
    button = QPushButton(text)
    button.setCheckable(checkable)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return button


def _box(region: npt.NDArray[np.bool_]) -> Box:
    """Smallest box with all of a region."""
    z = np.flatnonzero(region.any((1, 2)))
    depth = slice(int(z[0]), int(z[-1]) + 1)
    y, x = (np.flatnonzero(region[depth].any((0, axis))) for axis in (2, 1))
    return depth, slice(int(y[0]), int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1)
