"""Display windows by name, as a reader may write them into the preferences."""

from __future__ import annotations

from dataclasses import dataclass

from napari_rsna_inpaint.errors import UsageError

#: There are that many keys, Alt+1 to Alt+9.
MOST_PRESETS = 9
#: Usual windows of head CT; for acute stroke after Turner and Holdsworth, Br J Radiol 2011.
DEFAULT_PRESETS = (
    "brain 80 40; stroke 40 40; subdural 200 75; soft tissue 400 50; bone 2800 600; "
    "posterior fossa 150 40; full range 4000 1000"
)
_EXAMPLE = "write them like 'brain 80 40; bone 2800 600' (name, width, level in HU)"


@dataclass(frozen=True)
class Preset:
    """A display window: ``width`` HU around ``level`` HU."""

    name: str
    width: float
    level: float


def parse_presets(text: str) -> tuple[Preset, ...]:
    """Read presets such as ``"brain 80 40; soft tissue 400 50"``.

    Parameters
    ----------
    text
        Name, width and level of each, separated by semicolons or line ends.

    Raises
    ------
    UsageError
        If one cannot be read, or there are none or too many.
    """
    entries = [entry.strip() for entry in text.replace("\n", ";").split(";") if entry.strip()]
    if not 1 <= len(entries) <= MOST_PRESETS:
        raise UsageError(
            f"There are {len(entries)} window presets, not 1 to {MOST_PRESETS}; {_EXAMPLE}."
        )
    return tuple(map(_parse, entries))


def _parse(entry: str) -> Preset:
    *words, width, level = ["", "", *entry.split()]
    name = " ".join(words).strip()
    try:
        preset = Preset(name, float(width), float(level))
    except ValueError:
        preset = None
    if preset is None or not name or not 1 <= preset.width <= 10_000 or abs(preset.level) > 10_000:
        raise UsageError(f"The window preset '{entry}' cannot be read; {_EXAMPLE}.")
    return preset
