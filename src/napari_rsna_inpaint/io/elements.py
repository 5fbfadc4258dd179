"""Values of DICOM elements, with None or nothing where the file is silent or wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom


def value_of(dataset: pydicom.Dataset, keyword: str) -> Any:
    """Value of an element; None where it is absent or cannot be parsed."""
    try:
        return dataset.get(keyword)
    except Exception:
        return None


def text(dataset: pydicom.Dataset, keyword: str) -> str:
    """Text of an element; empty where it is absent or cannot be decoded."""
    value = value_of(dataset, keyword)
    if value is None:
        return ""
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        return "\\".join(str(part) for part in value)
    return str(value).strip("\0 ")


def numbers(dataset: pydicom.Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Finite numbers of an element; None where it is absent or has not ``count`` of them."""
    value = value_of(dataset, keyword)
    if value is None or isinstance(value, (bytes, str)):
        return None
    try:
        parts = tuple(float(v) for v in (value if count > 1 else [value]))
    except (TypeError, ValueError):
        return None
    return parts if len(parts) == count and all(map(math.isfinite, parts)) else None


def number(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """One finite number of an element, or None."""
    parts = numbers(dataset, keyword, 1)
    return parts[0] if parts else None


def integer(dataset: pydicom.Dataset, keyword: str, default: int) -> int:
    """One whole number of an element, or the default."""
    value = number(dataset, keyword)
    return default if value is None else int(value)


def vector(dataset: pydicom.Dataset, keyword: str, count: int) -> npt.NDArray[np.float64] | None:
    """Finite float64 ``(count,)`` of an element, or None."""
    parts = numbers(dataset, keyword, count)
    return None if parts is None else np.array(parts)


def pair(dataset: pydicom.Dataset, keyword: str) -> tuple[float, float] | None:
    """Two positive numbers of an element, or None."""
    parts = numbers(dataset, keyword, 2)
    return (parts[0], parts[1]) if parts and min(parts) > 0 else None


def rescale(dataset: pydicom.Dataset) -> tuple[float | None, float | None]:
    """Rescale slope and intercept; a slope of zero counts as absent."""
    return number(dataset, "RescaleSlope") or None, number(dataset, "RescaleIntercept")
