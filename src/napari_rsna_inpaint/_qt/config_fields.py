"""One field of a form: the widget for a parameter, and the text of what is no number."""

from __future__ import annotations

import json
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from magicgui.widgets import create_widget
from pydantic import BaseModel
from pydantic.fields import FieldInfo

#: Where a parameter has no bound, a spin box needs one.
_MOST = 1_000_000_000
_FEWEST_DECIMALS, _MOST_DECIMALS = 2, 6
#: Units at the end of a name, as they are written.
_UNITS = {"mm": "mm", "ml": "ml", "hu": "HU", "deg": "°", "s": "s"}


def kind_of(field: FieldInfo) -> tuple[Any, bool]:
    """Type of a parameter, and whether it may be None."""
    kind, optional = field.annotation, False
    if get_origin(kind) in (Union, UnionType):
        kinds = [one for one in get_args(kind) if one is not NoneType]
        optional = len(kinds) < len(get_args(kind))
        kind = kinds[0] if len(kinds) == 1 else str
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind, optional


def is_group(kind: Any) -> bool:
    """Whether a type is a configuration of its own."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def words(name: str) -> str:
    """Name of a parameter for people: ``sizes_mm`` is "Sizes (mm)"."""
    first, _, last = name.rpartition("_")
    unit = _UNITS.get(last) if first else None
    text = (first if unit else name).replace("_", " ")
    return text[:1].upper() + text[1:] + (f" ({unit})" if unit else "")


def make_editor(field: FieldInfo, value: Any) -> Any:
    """Magicgui's widget for a parameter; None is shown as the lowest value that it takes."""
    kind, _ = kind_of(field)
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        value = choices[0] if value is None else value
        return create_widget(value, options={"choices": choices}, widget_type="ComboBox")
    if kind is bool:
        return create_widget(bool(value), options={"text": ""}, widget_type="CheckBox")
    if kind in (int, float):
        return _spin_box(field, kind, value)
    return create_widget("" if value is None else shown(value), widget_type="LineEdit")


def _spin_box(field: FieldInfo, kind: type, value: Any) -> Any:
    low, high = _bounds(field)
    value = kind(max(low, 0) if value is None else value)
    if kind is int:
        options: dict[str, Any] = {"min": round(low), "max": round(high), "step": 1}
        return create_widget(value, options=options, widget_type="SpinBox")
    options = {"min": low, "max": high, "step": 0.1 if abs(value) < 5 else 1.0}
    # a box rounds what it is given to its decimals
    editor: Any = create_widget(kind(low), options=options, widget_type="FloatSpinBox")
    fraction = f"{value:.{_MOST_DECIMALS}f}".rstrip("0").partition(".")[2]
    editor.native.setDecimals(max(_FEWEST_DECIMALS, len(fraction)))
    editor.value = value
    return editor


def _bounds(field: FieldInfo) -> tuple[float, float]:
    """Lowest and highest value that a parameter takes."""
    limits: dict[str, float] = {}
    for constraint in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            limit = getattr(constraint, name, None)
            if limit is not None:
                limits[name] = limit
    low = limits.get("ge", limits.get("gt", -_MOST))
    return low, limits.get("le", limits.get("lt", _MOST))


def plain(value: Any) -> Any:
    """As JSON has it: lists for tuples, dictionaries for configurations."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return json.loads(json.dumps(value))


def shown(value: Any) -> Any:
    """What a field shows: a list as its items, separated by commas; sizes as 32, not 32.0."""
    if not isinstance(value, tuple | list):
        return value
    return ", ".join(item if isinstance(item, str) else _item(item) for item in value)


def _item(item: Any) -> str:
    if isinstance(item, tuple | list):
        return f"({', '.join(_item(one) for one in item)})"
    return f"{item:.15g}" if isinstance(item, float) else json.dumps(item)


def entered(editor: Any, field: FieldInfo) -> Any:
    """The value of a field; text that is no list is passed on, to be refused by its parameter."""
    value = editor.value
    kind, _ = kind_of(field)
    if get_origin(kind) not in (tuple, list):
        return value
    text = str(value).strip().rstrip(",")
    if str in get_args(kind):
        return [part.strip() for part in text.split(",")] if text else []
    try:
        return json.loads(f"[{text.replace('(', '[').replace(')', ']')}]")
    except ValueError:
        return [part.strip() for part in text.split(",")]
