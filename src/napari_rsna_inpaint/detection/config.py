"""Parameters of a detector: one model from which forms, help and documentation are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_rsna_inpaint.errors import InputRefused


class DetectorConfig(BaseModel):
    """Base of every detector's parameters.

    Every field has a default and a ``description``, one line with its unit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


Config = TypeVar("Config", bound=BaseModel)


def changed(config: Config, parameters: Mapping[str, Any]) -> Config:
    """Copy of a configuration with some parameters changed.

    Parameters
    ----------
    parameters
        New values by name; those of a nested configuration by a dotted name
        (``sampling.steps``). A value is what the field takes, or its text as on a command line.

    Raises
    ------
    InputRefused
        If there is no such parameter or the value does not fit.
    """
    values = config.model_dump()
    for name, value in parameters.items():
        *groups, last = name.split(".")
        inner: Any = values
        for group in groups:
            inner = inner.get(group) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or last not in inner:
            raise InputRefused(
                f"There is no parameter {name!r}; choose {', '.join(_names(config))}."
            )
        inner[last] = value
    try:
        return type(config).model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputRefused(f"The parameter {where} does not fit: {first['msg']}.") from error


def _names(config: BaseModel, prefix: str = "") -> list[str]:
    names = []
    for name in type(config).model_fields:
        value = getattr(config, name)
        inner = isinstance(value, BaseModel)
        names += _names(value, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return names
