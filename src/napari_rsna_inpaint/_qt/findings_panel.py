"""The list of findings, what is known of the current one, and the verdict on it."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_rsna_inpaint._qt.findings_list import Entry
from napari_rsna_inpaint._qt.findings_table import FindingsTable
from napari_rsna_inpaint._qt.reason_chooser import ReasonChooser
from napari_rsna_inpaint.store import REASONS

_LABELS = {reason.code: reason.label for reason in REASONS}

#: Name of the signal, text, key and hint of every button.
_BUTTONS = (
    ("accept", "Accept  A", "This is an anomaly"),
    ("reject", "Reject  R", "This is none: then one key for the reason"),
    ("unsure", "Unsure  U", "It cannot be told"),
    ("previous", "Previous  P", "Go to the finding before"),
    ("next", "Next  N", "Go to the finding after"),
    ("supplement", "Supplement  S", "Draw what was missed, then press S again"),
    ("undo", "Undo  Z", "Take back what you decided last"),
)
_VERDICTS = ("accept", "reject", "unsure")
#: Lines of text that are kept free for what is known of a finding.
_LINES = 3


class FindingsPanel(QWidget):
    """Shows entries and passes on what the reader wants; decides nothing itself.

    Signals
    -------
    chosen
        Identity of a finding to go to.
    wanted
        Name of a button or of the key that stands for it: ``accept``, ``reject`` ...
    reason_given
        Code of the reason for a rejection.
    noted
        Text of a remark on the current finding.
    key_pressed
        A letter that was typed in the list.
    further_wanted, learned_wanted
        The switches.
    """

    chosen = Signal(str)
    wanted = Signal(str)
    reason_given = Signal(str)
    noted = Signal(str)
    key_pressed = Signal(str)
    further_wanted = Signal(bool)
    learned_wanted = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.counters = QLabel()
        self.counters.setWordWrap(True)
        self.table = FindingsTable()
        self.details = QLabel()
        self.details.setWordWrap(True)
        self.details.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.details.setMinimumHeight(_LINES * self.details.fontMetrics().lineSpacing() + 4)
        self.note = QLineEdit()
        self.note.setPlaceholderText("Remark on this finding")
        self._shown = self._remark = ""
        self.reasons = ReasonChooser()
        self.further = QCheckBox("Less suspicious regions")
        self.further.setToolTip("Regions of the heatmap below the operating point of the model")
        self.learned = QCheckBox("Order learned from verdicts")
        self.learned.setEnabled(False)
        self.effect = QLabel()
        self.effect.setWordWrap(True)
        self.effect.setStyleSheet("color: #90a4ae; font-size: 11px;")
        self.buttons = {name: QPushButton(text) for name, text, _ in _BUTTONS}
        self._lay_out()
        for name, _text, hint in _BUTTONS:
            button = self.buttons[name]
            button.setToolTip(hint)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.clicked.connect(lambda _checked=False, name=name: self._press(name))
        self.table.chosen.connect(self.chosen)
        self.table.key_pressed.connect(self.key_pressed)
        self.reasons.chosen.connect(self.reason_given)
        self.note.editingFinished.connect(self._keep_note)
        self.note.returnPressed.connect(self.table.setFocus)
        self.further.toggled.connect(self.further_wanted)
        self.learned.toggled.connect(self.learned_wanted)
        self.show_entry(None)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setSpacing(3)
        for column, name in enumerate(_VERDICTS):
            grid.addWidget(self.buttons[name], 0, column * 2, 1, 2)
        for column, name in enumerate(("previous", "next", "undo")):
            grid.addWidget(self.buttons[name], 1, column * 2, 1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.counters)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.details)
        layout.addLayout(grid)
        layout.addWidget(self._lower_part())

    def _lower_part(self) -> QWidget:
        """Either the reasons or the rest, in one place, so that no button moves."""
        rest = QWidget()
        layout = QVBoxLayout(rest)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (
            self.note,
            self.buttons["supplement"],
            self.further,
            self.learned,
            self.effect,
        ):
            layout.addWidget(widget)
        layout.addStretch(1)
        part = QStackedWidget()
        part.addWidget(rest)
        part.addWidget(self.reasons)
        self.reasons.asking.connect(part.setCurrentIndex)
        return part

    def fill(self, entries: list[Entry], n_further: int) -> None:
        """Show the list and how far it has been judged."""
        self.table.fill(entries)
        self.counters.setText(_counted(entries))
        self.further.setText(f"Less suspicious regions ({n_further})")
        self.further.setEnabled(n_further > 0)

    def say(self, text: str) -> None:
        """Show a sentence in place of the counters."""
        self.counters.setText(text)

    def show_entry(self, entry: Entry | None) -> None:
        """Show what is known of the current finding, or that there is none."""
        self.table.mark("" if entry is None else entry.id)
        self.details.setText("" if entry is None else _described(entry))
        remark = "" if entry is None or entry.verdict is None else entry.verdict.note
        known = "" if entry is None else entry.id, remark
        # what is being typed stays when the list is made anew
        if known != (self._shown, self._remark):
            self._shown, self._remark = known
            self.note.setText(remark)
        for widget in (self.note, *(self.buttons[name] for name in _VERDICTS)):
            widget.setEnabled(entry is not None)

    def show_effect(self, sentence: str, *, available: bool, on: bool) -> None:
        """Say what was learned from verdicts and whether the switch can be used."""
        self.learned.blockSignals(True)
        self.learned.setEnabled(available)
        self.learned.setChecked(on)
        self.learned.blockSignals(False)
        self.effect.setText(sentence)
        self.effect.setVisible(bool(sentence))

    def _press(self, button: str) -> None:
        # a button leaves the focus where it is, and what was typed would be forgotten
        self._keep_note()
        self.wanted.emit(button)

    def _keep_note(self) -> None:
        """Keep what was typed, also when the reader goes on with the mouse."""
        remark = self.note.text().strip()
        if remark != self._remark:
            self._remark = remark
            self.noted.emit(remark)


def _counted(entries: list[Entry]) -> str:
    if not entries:
        return "No findings."
    words = [entry.word for entry in entries]
    parts = [
        f"{words.count(word)} {word or 'open'}"
        for word in ("", "accepted", "rejected", "unsure", "supplemented")
        if word in words
    ]
    return " · ".join(parts)


def _described(entry: Entry) -> str:
    finding = entry.finding
    meaning = "brighter" if finding.sign == "hyper" else "darker"
    scales = ", ".join(f"{size:g}" for size in finding.scales)
    text = (
        f"<b>{entry.id}</b>: {meaning} than its healthy completion, "
        f"{finding.area_mm2:.0f} mm² at its largest"
    )
    if scales:
        text += f", squares of {scales} mm"
    if not math.isnan(entry.score) and entry.score != finding.score:
        text += f"; score {finding.score:.2f} before learning"
    if entry.verdict is not None and entry.word:
        text += f".<br><span style='color:{entry.colour}'>{entry.word}</span>"
        if entry.verdict.reason:
            text += f", {_LABELS[entry.verdict.reason]}"
        text += f" ({entry.verdict.reader})"
    return text + "."
