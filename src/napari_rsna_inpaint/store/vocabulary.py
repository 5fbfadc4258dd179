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
    Reason("falx-tentorium-sinus", "2", "Falx, tentorium or sinus"),
    Reason("choroid-pineal", "3", "Choroid plexus or pineal gland"),
    Reason("partial-volume-bone", "4", "Partial volume or bone"),
    Reason("streak", "5", "Streak or beam hardening"),
    Reason("motion", "6", "Motion"),
    Reason("cyst", "7", "Cyst"),
    Reason("atrophy-csf", "8", "Atrophy or CSF"),
    Reason("post-operative", "9", "After surgery or hardware"),
    Reason("wrong-anatomy", "0", "Wrong anatomy or edge of the field"),
    Reason("noise", "N", "Noise"),
    Reason("other", "O", "Other"),
)
