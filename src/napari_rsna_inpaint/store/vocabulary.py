"""The words that readers judge with."""

from __future__ import annotations

from dataclasses import dataclass

#: Words of the IHE profile AI Result Assessment for Imaging (AIRAI), and one for doubt.
VERDICTS = ("accepted", "rejected", "unsure", "supplemented")


@dataclass(frozen=True)
class Reason:
    """Why a finding is rejected: ``code`` is stored, ``key`` is pressed, ``label`` is shown."""

    code: str
    key: str
    label: str


#: In the order in which they are offered.
REASONS = (
    Reason("calcification", "1", "Calcification"),
    Reason("falx-tentorium-sinus", "2", "Falx, tentorium, sinus"),
    Reason("choroid-pineal", "3", "Choroid, pineal"),
    Reason("partial-volume-bone", "4", "Partial volume, bone"),
    Reason("streak", "5", "Streak"),
    Reason("motion", "6", "Motion"),
    Reason("cyst", "7", "Cyst"),
    Reason("atrophy-csf", "8", "Atrophy, CSF"),
    Reason("post-operative", "9", "Post-op, hardware"),
    Reason("wrong-anatomy", "0", "Wrong anatomy"),
    Reason("noise", "N", "Noise"),
    Reason("other", "O", "Other"),
)
