"""The regions that a reader may judge: findings, less suspicious ones, and drawn ones."""

from __future__ import annotations

from dataclasses import dataclass

from napari_rsna_inpaint._qt.layers import side
from napari_rsna_inpaint.casebook import Drawn
from napari_rsna_inpaint.detection.result import Detection, Finding
from napari_rsna_inpaint.store import Verdict
from napari_rsna_inpaint.volume import CTVolume

#: Colour of a region on the canvas and in the list, by verdict; "" is none yet. Told apart by
#: lightness as well as by hue.
VERDICT_COLOURS = {
    "": "#ffd54f",
    "accepted": "#ef5350",
    "rejected": "#78909c",
    "unsure": "#ba68c8",
    "supplemented": "#ff8a65",
}
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


def entries(
    detection: Detection,
    volume: CTVolume,
    drawn: list[Drawn],
    verdicts: dict[str, Verdict],
    *,
    further: bool,
    scores: dict[str, float],
) -> list[Entry]:
    """All regions to be listed, most suspicious first, drawn ones last.

    Parameters
    ----------
    drawn
        Regions that the reader drew.
    further
        Whether regions below the operating point are listed; those with a verdict always are.
    scores
        Other scores than the detector's, by identity: they set the order.
    """
    every = [*detection.findings, *detection.further]
    listed = [
        Entry(
            label,
            finding,
            side(finding, detection, volume),
            verdicts.get(finding.id),
            scores.get(finding.id, finding.score),
        )
        for label, finding in enumerate(every, start=1)
        if further or label <= len(detection.findings) or finding.id in verdicts
    ]
    if scores:
        listed.sort(key=lambda entry: -entry.score)
    listed += [
        Entry(
            len(every) + number,
            one.finding,
            side(one.finding, detection, volume),
            verdicts.get(one.finding.id),
            float("nan"),
        )
        for number, one in enumerate(drawn, start=1)
    ]
    return listed
