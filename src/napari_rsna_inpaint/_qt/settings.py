"""The preferences of the plugin, as napari keeps them under Preferences > Plugin Preferences."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from napari_rsna_inpaint._qt.presets import DEFAULT_PRESETS, Preset, parse_presets
from napari_rsna_inpaint.errors import UsageError

_LOG = logging.getLogger(__name__)
_PLUGIN = "napari-rsna-inpaint"
#: Categories of the manifest's ``configurations``.
_CATEGORIES = ("detection", "reading", "verdicts")

DeviceName = Literal["auto", "cpu", "cuda"]
ProtocolName = Literal["interactive", "fast", "full", "reference"]
MouseHabits = Literal["radiology", "napari"]
MOST_COMPLETIONS = 64


@dataclass(frozen=True)
class Settings:
    """What a reader prefers.

    Attributes
    ----------
    device
        Where the network runs.
    detector
        Name of the detector that looks.
    protocol
        Protocol of a detection.
    completions
        How often a drawn region is completed.
    presets
        Display windows of Alt+1, Alt+2 ...
    mouse_habits
        ``"radiology"``: the wheel scrolls slices, dragging with the right button changes the
        window; ``"napari"``: as napari has it.
    side_views
        Whether the coronal and sagittal views are open.
    store
        File or URL of the verdicts; empty for the usual place.
    reader
        Pseudonym under which verdicts are kept.
    problems
        One sentence for each stored value that could not be used.
    """

    device: DeviceName = "auto"
    detector: str = "grid"
    protocol: ProtocolName = "fast"
    completions: int = 4
    presets: tuple[Preset, ...] = parse_presets(DEFAULT_PRESETS)
    mouse_habits: MouseHabits = "radiology"
    side_views: bool = True
    store: str = ""
    reader: str = ""
    problems: tuple[str, ...] = ()


def settings() -> Settings:
    """Return the preferences; the usual ones where napari keeps none."""
    return checked(_stored())


def checked(stored: Mapping[str, Any]) -> Settings:
    """Make settings of stored values, with the usual value for each that cannot be used."""
    usual = Settings()
    problems: list[str] = []

    def one_of(name: str, allowed: tuple[str, ...]) -> Any:
        value = stored.get(name, getattr(usual, name))
        if value in allowed:
            return value
        return unusable(name, f"{value!r} is not one of {', '.join(allowed)}")

    def unusable(name: str, reason: str) -> Any:
        problems.append(
            f"The preference '{name.replace('_', ' ')}' was set aside: {reason.rstrip('.')}."
        )
        return getattr(usual, name)

    def text(name: str) -> str:
        value = stored.get(name, "")
        return value.strip() if isinstance(value, str) else unusable(name, "it is no text")

    completions = stored.get("completions", usual.completions)
    if type(completions) is not int or not 1 <= completions <= MOST_COMPLETIONS:
        completions = unusable(
            "completions", f"{completions!r} is no whole number from 1 to {MOST_COMPLETIONS}"
        )
    presets = usual.presets
    if "presets" in stored:
        try:
            presets = parse_presets(str(stored["presets"]))
        except UsageError as error:
            unusable("presets", str(error))
    side_views = stored.get("side_views", usual.side_views)
    if not isinstance(side_views, bool):
        side_views = unusable("side_views", "it is neither on nor off")
    return Settings(
        device=one_of("device", get_args(DeviceName)),
        detector=text("detector") or usual.detector,
        protocol=one_of("protocol", get_args(ProtocolName)),
        completions=completions,
        presets=presets,
        mouse_habits=one_of("mouse_habits", get_args(MouseHabits)),
        side_views=side_views,
        store=text("store"),
        reader=text("reader"),
        problems=tuple(problems),
    )


def on_change(category: str, name: str, method: Callable[..., None]) -> None:
    """Call a bound method whenever one preference changes; it is held weakly."""
    group = _groups().get(category)
    if group is not None:
        getattr(group.events, name).connect(method)


def _stored() -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for group in _groups().values():
        stored |= {name: getattr(group, name) for name in type(group).model_fields}
    return stored


def _groups() -> dict[str, Any]:
    """Our categories as napari keeps them; none where napari keeps no plugin preferences."""
    try:
        from napari.settings import get_plugin_settings

        kept = get_plugin_settings(_PLUGIN)
    except (ImportError, KeyError, ValueError, OSError):
        _LOG.debug("no plugin preferences", exc_info=True)
        return {}
    return {name: getattr(kept, name) for name in _CATEGORIES if hasattr(kept, name)}
