"""A form made of a detector's parameters: what is in the configuration is in the form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from magicgui.widgets import create_widget
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

#: The form scrolls beyond this height, so that the findings below keep their place; on a small
#: screen it may become as low as the other.
_HEIGHT_PX, _LOWEST_PX = 96, 64
#: Where a field has no bound, a spin box needs one.
_MOST = 1_000_000


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
        self._fields: dict[str, tuple[QLabel, Any]] = {}
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.reset_button = QPushButton("Back to the protocol's values")
        self.reset_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.reset_button.clicked.connect(self.reset)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._area)
        layout.addWidget(self.reset_button)

    def show_config(self, config: BaseModel) -> None:
        """Offer the parameters of a configuration, with its values."""
        self._config = config
        self._fields = {}
        page = QWidget()
        form = QFormLayout(page)
        form.setContentsMargins(0, 0, 6, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, field, value in leaves(config):
            group, _, own = name.rpartition(".")
            label = QLabel(own.replace("_", " "))
            # the group is said where it begins
            if group and not any(other.startswith(f"{group}.") for other in self._fields):
                form.addRow(QLabel(f"<b>{group.replace('_', ' ').replace('.', ', ')}</b>"))
            editor = _editor(field, value)
            native = editor.native
            for widget in (label, native):
                widget.setToolTip(field.description or "")
            native.setMinimumWidth(60)
            for widget in (native, *native.findChildren(QWidget)):
                # letters are keys of the reader until a field is clicked
                if widget.focusPolicy() != Qt.FocusPolicy.NoFocus:
                    widget.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
                widget.installEventFilter(self)
            editor.changed.connect(self._on_changed)
            form.addRow(label, native)
            self._fields[name] = (label, editor)
        self._area.setWidget(page)
        height = page.sizeHint().height() + 4
        self._area.setMinimumHeight(min(height, _LOWEST_PX))
        self._area.setMaximumHeight(min(height, _HEIGHT_PX))
        self._mark()

    def changes(self) -> dict[str, Any]:
        """Values that differ from the configuration shown, by dotted name."""
        if self._config is None:
            return {}
        found = {}
        for name, _, value in leaves(self._config):
            entered = _entered(self._fields[name][1], value)
            if entered != _plain(value):
                found[name] = entered
        return found

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Enter values by dotted name."""
        for name, value in values.items():
            self._fields[name][1].value = _shown(value)

    def reset(self) -> None:
        """Enter the values of the configuration again."""
        if self._config is not None:
            self.set_values({name: value for name, _, value in leaves(self._config)})

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Return and Escape give the keys back to the reader; the wheel scrolls the form."""
        if event is not None and isinstance(watched, QWidget):
            if event.type() == QEvent.Type.KeyPress and event.key() in (  # type: ignore[attr-defined]
                Qt.Key.Key_Return,
                Qt.Key.Key_Enter,
                Qt.Key.Key_Escape,
            ):
                watched.clearFocus()
            if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
                event.ignore()
                return True
        return super().eventFilter(watched, event)

    def _on_changed(self, _value: Any = None) -> None:
        self._mark()
        self.changed.emit()

    def _mark(self) -> None:
        changes = self.changes()
        for name, (label, _) in self._fields.items():
            font = label.font()
            font.setBold(name in changes)
            label.setFont(font)
        self.reset_button.setVisible(bool(changes))


def leaves(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, FieldInfo, Any]]:
    """Every parameter with its dotted name; nested configurations are entered."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field, value


def _editor(field: FieldInfo, value: Any) -> Any:
    """Widget for a value of a field."""
    options: dict[str, Any] = {}
    annotation: Any = field.annotation
    if get_origin(annotation) is Literal:
        options["choices"] = get_args(annotation)
        return create_widget(value, options=options, widget_type="ComboBox")
    if isinstance(value, bool):
        return create_widget(value, options={"text": ""}, widget_type="CheckBox")
    if isinstance(value, int | float):
        low, high = _bounds(field)
        whole = isinstance(value, int)
        options = {"min": low, "max": high, "step": 1 if whole else _step(value)}
        kind = "SpinBox" if whole else "FloatSpinBox"
        return create_widget(value, options=options, widget_type=kind)
    return create_widget(_shown(value), widget_type="LineEdit")


def _bounds(field: FieldInfo) -> tuple[float, float]:
    """Lowest and highest value that a field takes."""
    limits: dict[str, float] = {}
    for constraint in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            limit = getattr(constraint, name, None)
            if limit is not None:
                limits[name] = limit
    low = limits.get("ge", limits.get("gt", -_MOST))
    return low, limits.get("le", limits.get("lt", _MOST))


def _step(value: float) -> float:
    return 0.1 if abs(value) < 5 else 1.0


def _plain(value: Any) -> Any:
    """As JSON has it: lists for tuples."""
    return json.loads(json.dumps(value))


def _shown(value: Any) -> Any:
    """What a field shows: a list as its items, separated by commas."""
    if not isinstance(value, tuple | list):
        return value
    items = [item if isinstance(item, str) else json.dumps(item) for item in value]
    return ", ".join(items)


def _entered(editor: Any, like: Any) -> Any:
    """The value of a field; text that is no list is passed on, to be refused by its parameter."""
    value = editor.value
    if not isinstance(like, tuple | list):
        return value
    text = str(value).strip()
    try:
        return json.loads(f"[{text}]")
    except ValueError:
        return [part.strip() for part in text.split(",")]
