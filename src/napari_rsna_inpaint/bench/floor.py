"""How far the protocols are from what this machine could compute at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_rsna_inpaint.bench.scan import ScanRow


@dataclass(frozen=True)
class FloorRow:
    """One protocol on the whole scan beside its operations at the machine's peak.

    Attributes
    ----------
    floor_seconds
        Operations of the network divided by the measured peak of each number format.
    times_above
        Measured time divided by that.
    """

    protocol: str
    gflop: float
    seconds: float
    floor_seconds: dict[str, float]
    times_above: dict[str, float]


def floor_rows(scans: Sequence[ScanRow], peaks: Mapping[str, float]) -> list[FloorRow]:
    """Compare; ``peaks`` are 10^9 operations a second by number format."""
    found = []
    for scan in scans:
        floors = {name: scan.gflop / peak for name, peak in peaks.items()}
        above = {name: scan.seconds / floor for name, floor in floors.items()}
        found.append(FloorRow(scan.protocol, scan.gflop, scan.seconds, floors, above))
    return found
