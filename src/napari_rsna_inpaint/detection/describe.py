"""What there is to say about a detector and its parameters, for people and programs."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from napari_rsna_inpaint.detection.base import Detector
from napari_rsna_inpaint.detection.registry import load_detector
from napari_rsna_inpaint.errors import InputRefused


@dataclass(frozen=True)
class Parameter:
    """A parameter under the name that ``--set`` takes.

    ``kind`` is its type in words; ``allowed`` its limits, empty without; ``values`` those of
    every preset, as JSON.
    """

    name: str
    kind: str
    allowed: str
    description: str
    values: dict[str, str]


def describe(name: str) -> dict[str, Any]:
    """Facts on a detector that need no run: title, summary, source, presets, model.

    ``model`` is the one it takes unasked, ``calibrated`` the presets that this one is calibrated
    for; None where the detector has none of its own.

    Raises
    ------
    InputRefused
        If it is not installed.
    """
    kind = load_detector(name)
    model, calibrated = _model(kind, name)
    return {
        "name": name,
        "title": kind.title,
        "summary": kind.summary,
        "source": kind.source,
        "presets": list(kind.presets),
        "method": getattr(kind, "method", None),
        "model": model,
        "calibrated": calibrated,
    }


def parameters(kind: type[Detector]) -> list[Parameter]:
    """All parameters of a detector; those of nested configurations by dotted names."""
    first = next(iter(kind.presets.values()))
    return list(_parameters(first, kind.presets, ""))


def markdown(name: str) -> str:
    """Table of the parameters of a detector, for its page.

    Raises
    ------
    InputRefused
        If it is not installed.
    """
    kind = load_detector(name)
    found = parameters(kind)
    if not found:
        return "It has no parameters.\n"
    presets = list(kind.presets)
    lines = [
        "| parameter | type | " + " | ".join(presets) + " | meaning |",
        "|---" * (len(presets) + 3) + "|",
    ]
    for one in found:
        sort = f"{one.kind}, {one.allowed}" if one.allowed else one.kind
        cells = [f"`{one.name}`", sort, *(f"`{one.values[p]}`" for p in presets), one.description]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _model(kind: type[Detector], name: str) -> tuple[str | None, list[str] | None]:
    from napari_rsna_inpaint.detection.calibration import calibrated
    from napari_rsna_inpaint.diffusion.model_folder import find_model

    method = getattr(kind, "method", None)
    if method is None:
        return None, None
    try:
        folder = find_model(None, method)
    except InputRefused:
        return None, []
    return folder.name, [protocol for of, protocol in calibrated(folder) if of == name]


def _parameters(
    config: BaseModel, presets: typing.Mapping[str, BaseModel], prefix: str
) -> typing.Iterator[Parameter]:
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from _parameters(value, presets, f"{prefix}{name}.")
            continue
        dotted = f"{prefix}{name}"
        values = {preset: _value(one, dotted) for preset, one in presets.items()}
        yield Parameter(
            name=dotted,
            kind=_kind(field.annotation),
            allowed=_allowed(field),
            description=field.description or "",
            values=values,
        )


def _value(config: BaseModel, dotted: str) -> str:
    value: Any = config.model_dump(mode="json")
    for part in dotted.split("."):
        value = value[part]
    return value if isinstance(value, str) else json.dumps(value)


def _kind(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"list of {_kind(inner[0])}"
        return "[" + ", ".join(map(_kind, inner)) + "]"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if one is type(None) else _kind(one) for one in inner)
    words = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    return words.get(annotation, str(annotation))


def _allowed(field: FieldInfo) -> str:
    """Limits of a field, or of the members of a list."""
    found = [_limits(field.metadata)]
    for inner in typing.get_args(field.annotation):
        if typing.get_origin(inner) is Annotated:
            metadata = typing.get_args(inner)[1:]
            found += [_limits(getattr(one, "metadata", [one])) for one in metadata]
    return ", ".join(filter(None, found))


def _limits(metadata: Sequence[Any]) -> str:
    said = []
    low = next((m.ge for m in metadata if isinstance(m, Ge)), None)
    high = next((m.le for m in metadata if isinstance(m, Le)), None)
    if low is not None and high is not None:
        said.append(f"{low:g} to {high:g}")
    elif low is not None:
        said.append(f"{low:g} or more")
    elif high is not None:
        said.append(f"at most {high:g}")
    for one in metadata:
        if isinstance(one, Gt):
            said.append(f"above {one.gt:g}")
        elif isinstance(one, Lt):
            said.append(f"below {one.lt:g}")
        elif isinstance(one, MinLen):
            said.append(f"at least {one.min_length}")
    return ", ".join(said)
