"""The dock "Detect anomalies": look, walk through the findings, judge, complete regions anew."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Layer
from napari.viewer import Viewer
from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent
from qtpy.QtWidgets import QLabel, QTabWidget, QVBoxLayout, QWidget

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint._qt import findings_view
from napari_rsna_inpaint._qt.actions import bind_keys, perform
from napari_rsna_inpaint._qt.canvas_text import write_on_canvas
from napari_rsna_inpaint._qt.detect_panel import DetectPanel
from napari_rsna_inpaint._qt.docks import beside, itself, to_front
from napari_rsna_inpaint._qt.findings_list import Entry, entries, shown_first
from napari_rsna_inpaint._qt.findings_panel import FindingsPanel
from napari_rsna_inpaint._qt.habits import install_habits
from napari_rsna_inpaint._qt.help_panel import HelpPanel
from napari_rsna_inpaint._qt.layers import layer_volume, side
from napari_rsna_inpaint._qt.learning_switch import LearningSwitch
from napari_rsna_inpaint._qt.opening import ANONYMOUS, PLUGIN, Opened, opening_job
from napari_rsna_inpaint._qt.own_context import keep_own_context
from napari_rsna_inpaint._qt.reading import Reading
from napari_rsna_inpaint._qt.region_panel import RegionPanel
from napari_rsna_inpaint._qt.settings import settings
from napari_rsna_inpaint._qt.shown import grey_layers
from napari_rsna_inpaint._qt.slab import Slab, show_slab
from napari_rsna_inpaint._qt.terms import Terms
from napari_rsna_inpaint._qt.worker import Errand, Job, Report
from napari_rsna_inpaint.casebook import Casebook
from napari_rsna_inpaint.detection.drawn import drawn_finding
from napari_rsna_inpaint.detection.edits import Edit
from napari_rsna_inpaint.detection.result import Finding
from napari_rsna_inpaint.errors import RsnaInpaintError
from napari_rsna_inpaint.learning.apply import Rescoring
from napari_rsna_inpaint.learning.features import finding_features
from napari_rsna_inpaint.store import Event, Store
from napari_rsna_inpaint.volume import CTVolume

# All columns of the table and its scroll bar fit.
_WIDTH = 350
#: Where the reader is, is kept this long after the last movement.
_SETTLE_MS = 400


class Workstation(QWidget):
    """Everything that one reader needs for the study in one viewer.

    Its methods without arguments are the actions that keys, buttons and the command palette
    perform (see `actions`).

    Attributes
    ----------
    reading
        The study and its result.
    detect, findings, region
        The panels.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._store: Store | None = None
        self._case: Casebook | None = None
        self._opened: Opened | None = None
        self._no_store = _OPENING
        self._hidden: list[Layer] = []
        self._entries: list[Entry] = []
        self._sides: dict[str, str] = {}
        self._drawn_shown: list[str] = []
        self._seen_since = time.time()
        self._pending = 0
        self.reading = Reading(napari_viewer)
        self.detect = DetectPanel(self.reading)
        self.findings = FindingsPanel()
        self.region = RegionPanel(self.reading, self._region_options)
        self.keys = HelpPanel()
        self.terms = Terms()
        self.learning = LearningSwitch(self.findings, self)
        self._settling = QTimer(self)
        self._settling.setSingleShot(True)
        self._settling.setInterval(_SETTLE_MS)
        self._lay_out()
        self._connect()
        bind_keys(napari_viewer)
        install_habits(napari_viewer)
        write_on_canvas(napari_viewer)
        keep_own_context(itself(napari_viewer).window._qt_viewer)
        self._turn_to_study()

    def _lay_out(self) -> None:
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        bar = self.tabs.tabBar()
        assert bar is not None
        bar.setDrawBase(False)
        for panel, name in (
            (self.findings, "Findings"),
            (self.region, "Region"),
            (self.detect.choice, "Options"),
            (self.keys, "Keys"),
        ):
            self.tabs.addTab(panel, name)
        notice = QLabel(STATEMENT)
        notice.setWordWrap(True)
        notice.setStyleSheet("color: #90a4ae; font-size: 11px;")
        self.setMinimumWidth(_WIDTH)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        layout.addWidget(self.detect)
        layout.addWidget(self.terms)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(notice)

    def _connect(self) -> None:
        self.reading.study_changed.connect(self._turn_to_study)
        self.reading.result_changed.connect(self._turn_to_result)
        self.detect.started.connect(self._show_terms)
        self.detect.started.connect(self._leave_options)
        self.terms.understood.connect(self._keep_terms)
        self.findings.chosen.connect(self.show_finding)
        self.findings.wanted.connect(self._wanted)
        self.findings.reason_given.connect(lambda code: self._decide("rejected", code))
        self.findings.noted.connect(self._note)
        self.findings.key_pressed.connect(lambda key: perform(self._viewer, key))
        self.findings.further_wanted.connect(lambda _on: self._list())
        self.learning.changed.connect(self._list)
        self.region.started.connect(self._show_terms)
        self.region.accepted.connect(self._keep_edit)
        self.region.message.connect(self.detect.message.say)
        self._settling.timeout.connect(self._keep_place)
        self._viewer.dims.events.point.connect(self._moved)
        self._viewer.layers.events.inserted.connect(self._on_inserted)

    # ---- the study and its result -------------------------------------------------------

    def _turn_to_study(self) -> None:
        """Look up what is known of the study, in the background."""
        self._case = self._opened = self.detect.sections = None
        self._no_store = ""
        self._fill([])
        volume = self.reading.volume
        if volume is None:
            return
        self._no_store = _OPENING
        self._show_only(volume)
        source = self.reading.source
        job = opening_job(volume, self._store, settings())
        self._run(
            job,
            lambda opened: self._on_opened(source, opened),
            lambda error: self._on_not_opened(source, error),
        )

    def _on_inserted(self, event: Any) -> None:
        """A study that is opened during a detection is read later: its image stays away."""
        of, volume = layer_volume(event.value), self.reading.volume
        foreign = of is not None and of is not volume
        if self.detect.running and volume is not None and foreign:
            self._show_only(volume)

    def _show_only(self, volume: CTVolume) -> None:
        """Hide the layers of other studies; what was hidden so of this one comes back."""
        for layer in self._viewer.layers:
            of = layer_volume(layer)
            if of is not None and of is not volume and layer.visible:
                layer.visible = False
                self._hidden.append(layer)
        for layer in self._hidden:
            if layer_volume(layer) is volume:
                layer.visible = True
        self._hidden = [one for one in self._hidden if layer_volume(one) is not volume]
        source = self.reading.source
        if source is not None and not any(
            layer.visible for layer in grey_layers(self._viewer, source)
        ):
            source.visible = True
        # the slices of another study may be thicker
        show_slab(self._viewer, Slab())

    def _on_not_opened(self, source: Any, error: RsnaInpaintError) -> None:
        if self.reading.still(source):
            self._no_store = f"Verdicts cannot be kept: {error}"

    def _on_opened(self, source: Any, opened: Opened) -> None:
        self._store = opened.store
        if not self.reading.still(source):
            return
        self._case, self._opened, self._no_store = opened.casebook, opened, ""
        self.detect.sections = opened.casebook.sections
        self._guarded(lambda: self.learning.use(opened.store, _reader()))
        if self.detect.running or self.reading.detection is not None:
            # the reader was quicker than the lookup
            self._show_terms()
        if self.reading.detection is not None:
            self._begin()
            return
        if opened.problem:
            self.detect.message.say(opened.problem)
        if opened.run is not None and opened.detection is not None and not self.detect.running:
            self.detect.restore(opened.detection)
            self._case.run = opened.run
            self._list()
            self._guarded(self._return_to_place)

    def _turn_to_result(self) -> None:
        self._sides = {}
        self._drawn_shown = []
        if self._case is not None:
            # what is decided must not go to the run that was read before
            self._case.run = None
        self.findings.reasons.dismiss()
        if self.reading.detection is not None and self._case is not None:
            self._begin()
        else:
            self._list()

    def _begin(self) -> None:
        """Take up a result: as soon as it is in the store, it can be judged."""
        detection, volume, case = self.reading.detection, self.reading.volume, self._case
        assert detection is not None
        assert volume is not None
        assert case is not None

        # Edits change the images of the result that is shown, not of this one.
        as_computed = replace(detection)

        def compute(report: Report, _cancelled: Callable[[], bool]) -> None:
            run = case.begin(as_computed, lambda: finding_features(volume, as_computed))
            # what was accepted on another machine is not here; the rest is
            report(([], ""))
            case.keep_images(run, as_computed, volume)
            report(case.edits())

        def begun(kept: tuple[list[Edit], str]) -> None:
            edits, problem = kept
            if self.reading.detection is detection:
                for edit in edits:
                    if edit.fits(detection):
                        self._guarded(partial(self.region.redo_edit, edit))
                self._list()
                if problem:
                    self.detect.message.say(problem)

        self._run(Job("saving of the result", compute), report=begun)
        self._list()

    @property
    def opened(self) -> bool:
        """Whether what was known of the study has been looked up."""
        return self._no_store != _OPENING

    @property
    def busy(self) -> bool:
        """Whether something is looked up or saved in the background."""
        return self._pending > 0

    # ---- the list ----------------------------------------------------------------------

    def _list(self) -> None:
        """List what the store knows; where it cannot be asked, the list stays, and it is said."""
        self._guarded(self._show_regions)

    def _show_regions(self) -> None:
        """Show all regions with what was decided on them, in the list and on the canvas."""
        detection, volume = self.reading.detection, self.reading.volume
        if detection is None or volume is None:
            self._fill([])
            return
        drawn = [] if self._case is None else self._case.drawn()
        listed = entries(
            detection,
            drawn,
            self._side,
            {} if self._case is None else self._case.verdicts(),
            further=self.findings.further.isChecked(),
            rescoring=self._rescoring(),
        )
        self._fill(listed)
        layer = self.reading.layer("Findings")
        if isinstance(layer, Labels):
            names = [one.finding.id for one in drawn]
            if self._drawn_shown != names:
                layer.data = findings_view.with_drawn(detection, drawn)
                self._drawn_shown = names
            findings_view.colour(layer, listed, self.reading.finding)

    def _rescoring(self) -> Rescoring | None:
        detection, case = self.reading.detection, self._case
        if detection is None or case is None or case.run is None:
            return None
        return self.learning.rescoring(detection, case.run.features)

    def _side(self, finding: Finding) -> str:
        """Side of the patient, looked up once."""
        detection, volume = self.reading.detection, self.reading.volume
        assert detection is not None
        assert volume is not None
        if finding.id not in self._sides:
            self._sides[finding.id] = side(finding, detection, volume)
        return self._sides[finding.id]

    def _fill(self, listed: list[Entry]) -> None:
        self._entries = listed
        detection = self.reading.detection
        less = 0
        if detection is not None:
            first = shown_first(detection, self._rescoring())
            less = len(detection.findings) + len(detection.further) - len(first)
        self.findings.fill(listed, less)
        if detection is None:
            self.findings.say("No result yet: press Detect.")
        self.findings.show_entry(self._current)

    @property
    def _current(self) -> Entry | None:
        """The entry that is looked at."""
        return next((one for one in self._entries if one.id == self.reading.finding), None)

    def show_finding(self, finding: str) -> None:
        """Go to a finding in all views."""
        entry = next((one for one in self._entries if one.id == finding), None)
        if entry is None:
            return
        self._seen_since = time.time()
        # a reason that was asked for is not one for this finding
        self.findings.reasons.dismiss()
        self.reading.look_at(finding)
        self.findings.show_entry(entry)
        layer = self.reading.layer("Findings")
        labels = None if layer is None else layer.data
        if isinstance(layer, Labels):
            findings_view.outline(layer, self._entries, finding)
        self.reading.go_to(findings_view.key_voxel(labels, entry))
        self._settling.start()

    def _wanted(self, button: str) -> None:
        act = {"previous": self.previous_finding, "next": self.next_finding}.get(button)
        (act or getattr(self, button))()

    def next_finding(self) -> None:
        """Go to the next finding of the list."""
        self._step(1)

    def previous_finding(self) -> None:
        """Go to the finding before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        if not self._entries:
            return
        ids = [entry.id for entry in self._entries]
        at = ids.index(self.reading.finding) if self.reading.finding in ids else None
        row = (0 if by > 0 else -1) if at is None else (at + by) % len(ids)
        self.show_finding(ids[row])

    # ---- verdicts ----------------------------------------------------------------------

    def accept(self) -> None:
        """Accept the current finding."""
        self._decide("accepted")

    def reject(self) -> None:
        """Reject the current finding: asks for the reason."""
        if self._current is not None:
            to_front(self)
            self.tabs.setCurrentWidget(self.findings)
            self.findings.reasons.ask()

    def unsure(self) -> None:
        """Leave the current finding undecided, on purpose."""
        self._decide("unsure")

    def supplement(self) -> None:
        """Turn the drawn region into a finding; without one, begin to draw."""
        region = self.region.region_mask()
        detection, volume, case = self.reading.detection, self.reading.volume, self._case
        if detection is None or volume is None or case is None:
            self.detect.message.say("There is no result to add to yet: press Detect first.")
        elif region is None:
            self.tabs.setCurrentWidget(self.region)
            self.region.start_drawing("paint")
            self.detect.message.say("Draw what was missed, then press S again.")
        elif self._guarded(lambda: case.supplement(self._drawn(region), region)):
            self.region.clear()
            self.tabs.setCurrentWidget(self.findings)
            self._list()
            self.show_finding(self._entries[-1].id)

    def _drawn(self, region: npt.NDArray[np.bool_]) -> Finding:
        detection, volume = self.reading.detection, self.reading.volume
        assert detection is not None
        assert volume is not None
        images = detection if detection.fits_memory else detection.maps
        return drawn_finding("S1", region, volume, images.residual)

    def undo(self) -> None:
        """Take back what was decided last: a verdict, a remark, a drawn region, a completion."""
        case = self._case
        if case is None or case.run is None or self.reading.detection is None:
            self.detect.message.say(_NOTHING)
            return
        undone: list[Event | None] = []
        if not self._guarded(lambda: undone.append(case.undo())):
            return
        event = undone[0]
        if event is None:
            self.detect.message.say(_NOTHING)
            return
        gone = event.kind != "edit" or self._guarded(
            lambda: self.region.undo_edit(case.edit_of(event))
        )
        self.learning.learn_soon()
        self._list()
        if event.finding in [entry.id for entry in self._entries]:
            self.show_finding(event.finding)
        again = "" if gone else " Open the study again to see the images without it."
        self.detect.message.say(f"Taken back: {_UNDONE[event.kind]}.{again}")

    def _decide(self, verdict: str, reason: str | None = None) -> None:
        """Put a verdict on disk, then show it and go on to the next open finding."""
        entry, case = self._current, self._case
        if entry is None or case is None or case.run is None:
            self.detect.message.say(self._no_store or (_CHOOSE if entry is None else _SAVING))
            return
        note = "" if entry.verdict is None else entry.verdict.note
        if not self._guarded(
            lambda: case.decide(
                entry.id, verdict, reason=reason, note=note, opened=self._seen_since
            )
        ):
            return
        self.learning.learn_soon()
        self._list()
        rows = [one.id for one in self._entries]
        at = rows.index(entry.id)
        around = self._entries[at + 1 :] + self._entries[:at]
        following = next((one for one in around if not one.word), None)
        self.show_finding(entry.id if following is None else following.id)

    def _note(self, text: str) -> None:
        entry, case = self._current, self._case
        if entry is not None and case is not None:
            self._guarded(lambda: case.note(entry.id, text))
            self._list()

    # ---- completing a region ------------------------------------------------------------

    def reinpaint(self) -> None:
        """Complete the drawn region anew."""
        self.tabs.setCurrentWidget(self.region)
        self.region.reinpaint()

    def accept_preview(self) -> None:
        """Take the completion over into the result."""
        self.region.accept()

    def discard_preview(self) -> None:
        """Drop the completion."""
        self.region.discard()

    def sweep(self) -> None:
        """Open the dock with the threshold sweep, in a tab beside this one."""
        frame, _ = self._viewer.window.add_plugin_dock_widget(PLUGIN, "Threshold sweep")
        beside(frame, self)

    def load_sweep(self, model: str) -> dict[str, Any] | None:
        """Threshold and metric that were chosen last for a model."""
        return None if self._store is None else self._store.setting(f"sweep:{model}")

    def save_sweep(self, model: str, chosen: dict[str, Any]) -> None:
        """Remember threshold and metric for a model."""
        store = self._store
        if store is not None:
            self._guarded(lambda: store.set_setting(f"sweep:{model}", chosen))

    def verdict_words(self) -> dict[str, str]:
        """Words of the verdicts on the result that is read, by identity of the finding."""
        verdicts = {} if self._case is None else self._case.verdicts()
        return {name: one.verdict for name, one in verdicts.items() if one.verdict}

    def show_help(self) -> None:
        """List all keys."""
        self.tabs.setCurrentWidget(self.keys)

    def _leave_options(self) -> None:
        if self.tabs.currentWidget() is self.detect.choice:
            self.tabs.setCurrentWidget(self.findings)

    def _keep_edit(self, edit: Edit) -> None:
        case = self._case
        if case is None or not self._guarded(lambda: case.edit(edit)):
            self.region.undo_edit(edit)

    def _region_options(self) -> dict[str, Any]:
        options = self.detect.options()
        del options["detector"]
        return {**options, "model": None, "backend": "torch", "samples": settings().completions}

    # ---- terms, place, errors -----------------------------------------------------------

    def _terms_key(self, opened: Opened) -> str:
        # anew where the terms are others
        return f"terms:{zlib.crc32(' '.join(opened.terms).encode()):08x}:{_reader()}"

    def _show_terms(self) -> None:
        self._guarded(self._show_new_terms)

    def _show_new_terms(self) -> None:
        opened = self._opened
        if opened is not None and not opened.store.setting(self._terms_key(opened)):
            self.terms.show_terms(opened.terms)

    def _keep_terms(self) -> None:
        opened = self._opened
        if opened is not None:
            self._guarded(lambda: opened.store.set_setting(self._terms_key(opened), True))

    def _moved(self, _event: Any = None) -> None:
        self._settling.start()

    def _keep_place(self) -> None:
        case, source = self._case, self.reading.source
        if case is None or not self.reading.still(source):
            return
        assert source is not None
        place = {
            "finding": self.reading.finding,
            "point_mm": [float(one) for one in self._viewer.dims.point],
            "window_hu": [float(one) for one in source.contrast_limits],
            "further": self.findings.further.isChecked(),
        }
        self._guarded(lambda: case.leave_at(place))

    def _return_to_place(self) -> None:
        place = None if self._case is None else self._case.place()
        source = self.reading.source
        if place is None or source is None:
            return
        self.findings.further.setChecked(place["further"])
        source.contrast_limits = place["window_hu"]
        self._viewer.dims.set_point(range(3), place["point_mm"])
        entry = next((one for one in self._entries if one.id == place["finding"]), None)
        if entry is not None:
            self.reading.look_at(entry.id)
            self.findings.show_entry(entry)

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Remember where the reader is when the window goes."""
        if self._settling.isActive():
            self._settling.stop()
            self._keep_place()
        super().hideEvent(event)

    def _guarded(self, act: Callable[[], Any]) -> bool:
        """Do something that may fail; say why it did. Returns whether it was done."""
        try:
            act()
        except RsnaInpaintError as error:
            self.detect.message.complain(error)
            return False
        return True

    def _run(
        self,
        job: Job,
        then: Callable[[Any], None] = lambda _result: None,
        failed: Callable[[RsnaInpaintError], None] = lambda _error: None,
        report: Report = lambda _told: None,
    ) -> None:
        """Run a short job of the dock's own; its errors are said."""

        def complain(error: RsnaInpaintError) -> None:
            self.detect.message.complain(error)
            failed(error)

        def end() -> None:
            self._pending -= 1

        self._pending += 1
        Errand(self, job, then, complain, report).ended.connect(end)


def _reader() -> str:
    """Pseudonym under which verdicts are kept."""
    return settings().reader or ANONYMOUS


_CHOOSE = "Choose a finding first: click one, or press N."
_NOTHING = "There is nothing to take back."
_SAVING = "The result is still being saved: try again in a moment."
_OPENING = "The study is still being looked up: try again in a moment."
_UNDONE = {
    "verdict": "the verdict",
    "note": "the remark",
    "supplement": "the drawn region",
    "edit": "the completion of the region",
}
