"""One detector's share of a comparison, in a process of its own that can be measured."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from napari_rsna_inpaint.detection.base import Detector
from napari_rsna_inpaint.detection.result import SliceResult
from napari_rsna_inpaint.errors import Cancelled, RsnaInpaintError
from napari_rsna_inpaint.evaluate.baselines import HealthyHu
from napari_rsna_inpaint.evaluate.cases import Case
from napari_rsna_inpaint.evaluate.run import Evaluation, Settings, evaluate
from napari_rsna_inpaint.io.write import write_json

log = logging.getLogger(__name__)

#: Beside the scans of a detector: the highest memory of any run that computed one of them.
MEMORY = "memory.json"
#: Detectors that take norms from the folder of a model, but not its network.
NO_NETWORK = frozenset({"b2"})


class Event(Protocol):
    """What is asked of an event that is shared between processes."""

    def is_set(self) -> bool:
        """Whether to stop."""


@dataclass(frozen=True)
class Share:
    """What one detector found, or why it found nothing.

    Attributes
    ----------
    settings
        How it was run.
    found
        None where it could not be run.
    reason
        One sentence for a person; empty where it ran.
    about
        Provenance of the detector.
    parameters, model_bytes
        Of all networks that it loads; None without any.
    peak_mb
        Highest resident memory (10^6 bytes) of a process that ran it from start to end, with
        program, libraries and scan; without that of a GPU. None where it is not known.
    """

    settings: Settings
    found: Evaluation | None = None
    reason: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    model_bytes: int | None = None
    peak_mb: float | None = None

    @property
    def name(self) -> str:
        """Name of the detector."""
        return self.settings.detector


def work(
    connection: Connection,
    stop: Event,
    cases: Sequence[Case],
    output: Path,
    settings: Settings,
    healthy_hu: HealthyHu,
    truth: Path | None,
) -> None:
    """Run one detector over all scans; the main function of its process.

    Sends ``("line", text)`` and ``("progress", done, total)`` on the way, at last
    ``("share", Share)`` or ``("cancelled", number of finished scans)``. Ctrl-C reaches the
    process through ``stop``, so that finished slices are kept.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        connection.send(
            ("share", _share(connection, stop, cases, output, settings, healthy_hu, truth))
        )
    except Cancelled as error:
        connection.send(("cancelled", len(error.partial.summaries) if error.partial else 0))
    except RsnaInpaintError as error:
        connection.send(("share", Share(settings, reason=str(error))))
    except Exception as error:
        log.info("the detector %s failed", settings.detector, exc_info=True)
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        connection.send(("share", Share(settings, reason=f"It failed unexpectedly: {said}")))


def _share(
    connection: Connection,
    stop: Event,
    cases: Sequence[Case],
    output: Path,
    settings: Settings,
    healthy_hu: HealthyHu,
    truth: Path | None,
) -> Share:
    identity = json.dumps(settings.identity(), sort_keys=True)
    memory = _Memory(output / MEMORY, hashlib.sha256(identity.encode()).hexdigest())
    detector = settings.make()
    about, weights = detector.provenance(), weights_of(detector)
    del detector

    def say(case: Case, line: str) -> None:
        memory.note()
        connection.send(("line", f"{settings.detector}, {case.name}: {line}"))

    def show(done: int, total: int, partial: SliceResult | None) -> None:
        memory.computing = True
        connection.send(("progress", done, total))

    found = evaluate(
        cases,
        output,
        settings,
        healthy_hu,
        truth=truth,
        on_scan=say,
        on_progress=show,
        cancelled=stop.is_set,
    )
    return Share(
        settings,
        found,
        about=about,
        parameters=_parameters(weights) if weights else None,
        model_bytes=sum(path.stat().st_size for path in weights) if weights else None,
        peak_mb=memory.highest,
    )


def weights_of(detector: Detector) -> list[Path]:
    """Weights that a detector loads, each file once: its own, or those of its ``members``."""
    from napari_rsna_inpaint.diffusion.model_folder import WEIGHTS

    members = getattr(detector, "members", ())
    members = members.values() if isinstance(members, dict) else members
    files = {path.resolve() for member in members for path in weights_of(member)}
    folder = getattr(detector, "folder", None)
    if folder is not None and detector.name not in NO_NETWORK and not members:
        files.add((Path(folder) / WEIGHTS).resolve())
    return sorted(files)


def _parameters(weights: Sequence[Path]) -> int:
    import math

    from safetensors import safe_open

    total = 0
    for path in weights:
        with safe_open(path, "np") as tensors:
            total += sum(math.prod(tensors.get_slice(k).get_shape()) for k in tensors.keys())  # noqa: SIM118
    return total


class _Memory:
    """Highest memory over all runs that computed something of the same detection."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity
        self.computing = False
        self.highest: float | None = None
        try:
            stored = json.loads(path.read_text())
            if stored["identity"] == identity:
                self.highest = float(stored["peak_mb"])
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def note(self) -> None:
        """Keep the peak up to now; a run that only read stored scans says nothing."""
        if not self.computing:
            return
        self.highest = max(peak_mb(), self.highest or 0.0)
        write_json(self._path, {"identity": self._identity, "peak_mb": round(self.highest, 1)})


def peak_mb() -> float:
    """Highest resident memory of this process until now, 10^6 bytes.

    Linux counts into ``ru_maxrss`` what the process was before it became this program, so its
    own record is read there.
    """
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        import resource

        # bytes on macOS, KiB elsewhere
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
