"""The regions that a reader may judge: findings, less suspicious ones, and drawn ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from napari_rsna_inpaint.casebook import Drawn
from napari_rsna_inpaint.detection.result import Detection, Finding
from napari_rsna_inpaint.learning.apply import Rescoring
from napari_rsna_inpaint.store import Verdict

#: Colour of a region on the canvas and in the list, by verdict; "" is none yet. Told apart by
#: lightness as well as by hue.
VERDICT_COLOURS = {
    "": "#ffd54f",
    "accepted": "#ef5350",
    "rejected": "#78909c",
    "unsure": "#ba68c8",
    "supplemented": "#ff8a65",
}
#: So many findings are listed without being asked for: more are a burden.
MOST_SHOWN = 5
#: Open regions that are darker than their healthy completion.
DARK_COLOUR = "#4dd0e1"


@dataclass(frozen=True)
class Entry:
    """One region of the list.

    Attributes
    ----------
    label
        Its number in the layer ``Findings``.
    finding
        Its measures.
    side
        ``right``, ``left`` or ``middle`` of the patient.
    verdict
        What counts now, or None; a remark alone has no word.
    score
        The detector's, or that of the model learned from verdicts; NaN for drawn regions.
    """

    label: int
    finding: Finding
    side: str
    verdict: Verdict | None
    score: float

    @property
    def id(self) -> str:
        """Identity of the finding."""
        return self.finding.id

    @property
    def word(self) -> str:
        """The verdict in a word, empty while it is open."""
        return "" if self.verdict is None else self.verdict.verdict or ""

    @property
    def colour(self) -> str:
        """Colour of its outline."""
        if not self.word and self.finding.sign == "hypo":
            return DARK_COLOUR
        return VERDICT_COLOURS[self.word]


def shown_first(detection: Detection, rescoring: Rescoring | None) -> list[str]:
    """Identities of the regions that are listed without being asked for, in their order."""
    shown = [finding.id for finding in detection.findings]
    return (shown if rescoring is None else list(rescoring.order))[:MOST_SHOWN]


def entries(
    detection: Detection,
    drawn: list[Drawn],
    side_of: Callable[[Finding], str],
    verdicts: dict[str, Verdict],
    *,
    further: bool,
    rescoring: Rescoring | None,
) -> list[Entry]:
    """All regions to be listed, most suspicious first, drawn ones last.

    Parameters
    ----------
    drawn
        Regions that the reader drew.
    side_of
        Side of the patient.
    further
        Whether the less suspicious regions are listed: those after the first `MOST_SHOWN`, and
        those below the operating point. Those with a verdict always are.
    rescoring
        What was learned from verdicts, where it is to be applied: it sets scores, order and
        operating point.
    """
    every = [*detection.findings, *detection.further]
    scores = {finding.id: finding.score for finding in every}
    if rescoring is not None:
        scores = {one.id: one.new for one in rescoring.scores}
    places = {name: place for place, name in enumerate(shown_first(detection, rescoring))}
    listed = [
        Entry(label, finding, side_of(finding), verdicts.get(finding.id), scores[finding.id])
        for label, finding in enumerate(every, start=1)
        if further or finding.id in places or finding.id in verdicts
    ]
    listed.sort(key=lambda entry: (places.get(entry.id, len(places)), -entry.score))
    listed += [
        Entry(
            len(every) + number,
            one.finding,
            side_of(one.finding),
            verdicts.get(one.finding.id),
            math.nan,
        )
        for number, one in enumerate(drawn, start=1)
    ]
    return listed
