"""A form made of a detector's parameters: what is in the configuration is in the form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_rsna_inpaint._qt.config_fields import (
    entered,
    is_group,
    kind_of,
    make_editor,
    plain,
    shown,
    words,
)
from napari_rsna_inpaint.detection.config import changed
from napari_rsna_inpaint.errors import InputRefused

_INDENT_PX = 14


@dataclass(eq=False)
class _Part:
    """A parameter with its editor, or a group of them; ``switch`` is there if it may be None."""

    name: str
    info: FieldInfo
    value: Any
    label: QWidget
    switch: QCheckBox | None = None
    editor: Any = None
    parts: list[_Part] = field(default_factory=list)

    @property
    def on(self) -> bool:
        return self.switch is None or self.switch.isChecked()

    def now(self) -> Any:
        """What is entered, as JSON has it."""
        if not self.on:
            return None
        if self.editor is None:
            return {part.name: part.now() for part in self.parts}
        return entered(self.editor, self.info)

    def changes(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """What differs from the configuration shown, by dotted name."""
        if self.editor is None and self.on and self.value is not None:
            for part in self.parts:
                yield from part.changes(f"{prefix}{self.name}.")
        elif self.now() != plain(self.value):
            yield f"{prefix}{self.name}", self.now()


class ConfigForm(QWidget):
    """Fields for all parameters of a configuration; those that were changed are marked.

    Signals
    -------
    changed
        A value was changed.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._config: BaseModel | None = None
        self._parts: list[_Part] = []
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # arrows scroll slices
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.complaint = QLabel()
        self.complaint.setWordWrap(True)
        self.reset_button = QPushButton("Back to the protocol's values")
        self.reset_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.reset_button.clicked.connect(self.reset)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._area, 1)
        layout.addWidget(self.complaint)
        layout.addWidget(self.reset_button)

    def show_config(self, config: BaseModel) -> None:
        """Offer the parameters of a configuration, with its values."""
        self._config = config
        page = QWidget()
        rows = QFormLayout(page)
        rows.setContentsMargins(0, 0, 6, 0)
        rows.setVerticalSpacing(4)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._parts = self._add_rows(rows, type(config), config, "")
        if not self._parts:
            rows.addRow(QLabel("This detector has no parameters."))
        self._area.setWidget(page)
        self._follow()

    def changes(self) -> dict[str, Any]:
        """Values that differ from the configuration shown, by dotted name, for `changed`."""
        return {name: value for part in self._parts for name, value in part.changes()}

    def problem(self) -> str:
        """Why what is entered cannot be used, in one sentence; empty where it can."""
        if self._config is not None:
            try:
                changed(self._config, self.changes())
            except InputRefused as error:
                return str(error)
        return ""

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Enter values by dotted name."""
        for name, value in values.items():
            parts, part = self._parts, None
            for own in name.split("."):
                part = next(one for one in parts if one.name == own)
                parts = part.parts
            assert part is not None
            if part.switch is not None:
                part.switch.setChecked(value is not None)
            if value is not None:
                part.editor.value = shown(value)

    def reset(self) -> None:
        """Enter the values of the configuration again."""
        if self._config is not None:
            self.show_config(self._config)
            self.changed.emit()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Return and Escape give the keys back to the reader; the wheel scrolls the form."""
        if event is not None and isinstance(watched, QWidget):
            if event.type() == QEvent.Type.KeyPress and event.key() in (  # type: ignore[attr-defined]
                Qt.Key.Key_Return,
                Qt.Key.Key_Enter,
                Qt.Key.Key_Escape,
            ):
                # which also takes over a number that was typed
                watched.clearFocus()
                return True
            if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
                event.ignore()
                return True
        return super().eventFilter(watched, event)

    def _add_rows(
        self, rows: QFormLayout, kind: type[BaseModel], config: BaseModel | None, prefix: str
    ) -> list[_Part]:
        """Rows of a configuration; those of a group stand below its name, indented."""
        parts = []
        for name, info in kind.model_fields.items():
            if config is not None:
                value = getattr(config, name)
            else:
                value = info.get_default(call_default_factory=True)
            inner, optional = kind_of(info)
            label = QCheckBox(words(name)) if optional else QLabel(words(name))
            label.setContentsMargins(_INDENT_PX * prefix.count("."), 0, 0, 0)
            label.setToolTip(f"{info.description or ''} ({prefix}{name})".strip())
            part = _Part(name, info, value, label)
            if isinstance(label, QCheckBox):
                label.setFocusPolicy(Qt.FocusPolicy.NoFocus)
                label.setChecked(value is not None)
                label.toggled.connect(self._on_changed)
                part.switch = label
            if is_group(inner):
                rows.addRow(label)
                part.parts = self._add_rows(rows, inner, value, f"{prefix}{name}.")
            else:
                part.editor = self._editor(info, value, label.toolTip())
                rows.addRow(label, part.editor.native)
            parts.append(part)
        return parts

    def _editor(self, info: FieldInfo, value: Any, hint: str) -> Any:
        editor = make_editor(info, value)
        native = editor.native
        native.setToolTip(hint)
        native.setMinimumWidth(60)
        for widget in (native, *native.findChildren(QWidget)):
            # letters are keys of the reader; where something is typed, until it is clicked
            typed = isinstance(widget, QLineEdit | QAbstractSpinBox)
            policy = Qt.FocusPolicy.ClickFocus if typed else Qt.FocusPolicy.NoFocus
            widget.setFocusPolicy(policy)
            widget.installEventFilter(self)
        editor.changed.connect(self._on_changed)
        return editor

    def _on_changed(self, _value: Any = None) -> None:
        self._follow()
        self.changed.emit()

    def _follow(self) -> None:
        """Mark what was changed, and say what cannot be used."""
        self._mark(self._parts, "", set(self.changes()), on=True)
        problem = self.problem()
        self.complaint.setText(problem)
        self.complaint.setVisible(bool(problem))
        self.reset_button.setEnabled(bool(self.changes()))

    def _mark(self, parts: list[_Part], prefix: str, names: set[str], *, on: bool) -> None:
        for part in parts:
            name = f"{prefix}{part.name}"
            font = part.label.font()
            font.setBold(name in names)
            part.label.setFont(font)
            part.label.setEnabled(on)
            if part.editor is not None:
                part.editor.enabled = on and part.on
            self._mark(part.parts, f"{name}.", names, on=on and part.on)
