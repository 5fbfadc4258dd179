"""Several detectors over the same scans, each in a process of its own, one after the other."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_rsna_inpaint.detection.files import make_folder
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.evaluate.baselines import BASELINES, HealthyHu
from napari_rsna_inpaint.evaluate.cases import Case
from napari_rsna_inpaint.evaluate.run import Settings
from napari_rsna_inpaint.evaluate.share import Share, work
from napari_rsna_inpaint.evaluate.summary import OURS, ScanSummary

#: How often a stop is asked for, s.
_PATIENCE = 0.2


def compare(
    cases: Sequence[Case],
    output: Path,
    plans: Sequence[Settings],
    healthy_hu: HealthyHu,
    *,
    truth: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Share]:
    """Evaluate every detector; one that fails says why, and the others go on.

    Parameters
    ----------
    cases, healthy_hu, truth
        As for `run.evaluate`.
    output
        The scans of each detector are kept below ``DETECTOR/scans``; a finished one is not
        computed again.
    plans
        One for each detector.
    on_line
        Called with a line on every scan.
    on_progress
        ``(done, total)`` network evaluations of a scan.
    cancelled
        Asked several times a second.

    Raises
    ------
    Cancelled
        What was finished is kept.
    """
    shares = []
    for settings in plans:
        folder = output / settings.detector
        make_folder(folder)
        shares.append(
            _in_process(
                (cases, folder, settings, healthy_hu, truth), on_line, on_progress, cancelled
            )
        )
        if shares[-1].reason and on_line is not None:
            on_line(f"{settings.detector}: {shares[-1].reason}")
    return shares


def _in_process(
    task: tuple[Sequence[Case], Path, Settings, HealthyHu, Path | None],
    on_line: Callable[[str], None] | None,
    on_progress: Callable[[int, int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> Share:
    """Run `share.work` in a fresh process and listen to it."""
    context = multiprocessing.get_context("spawn")
    listener, speaker = context.Pipe(duplex=False)
    stop = context.Event()
    process = context.Process(target=work, args=(speaker, stop, *task), daemon=True)
    process.start()
    speaker.close()
    try:
        while True:
            if cancelled is not None and cancelled():
                stop.set()
            if not listener.poll(_PATIENCE):
                continue
            kind, *values = listener.recv()
            if kind == "share":
                return values[0]
            if kind == "cancelled":
                raise Cancelled
            if kind == "line" and on_line is not None:
                on_line(values[0])
            elif kind == "progress" and on_progress is not None:
                on_progress(*values)
    except EOFError:
        if stop.is_set():
            raise Cancelled from None
        process.join()
        reason = f"Its process ended early (exit code {process.exitcode}); was memory short?"
        return Share(task[2], reason=reason)
    finally:
        # An orderly end needs no more than this; after a second Ctrl-C it is not waited for.
        process.join(10 if stop.is_set() else 2)
        if process.is_alive():
            process.kill()
        listener.close()


def combined(shares: Sequence[Share]) -> list[ScanSummary]:
    """The scans that every detector finished, each with the scores of all and the baselines.

    ``methods`` are named as baselines and detectors; the time is that of the first detector.
    """
    ran = [(share.name, _by_scan(share)) for share in shares if share.found is not None]
    if not ran:
        return []
    common = []
    for key, first in ran[0][1].items():
        if not all(key in scans for _, scans in ran):
            continue
        methods = {baseline.name: first.methods[baseline.name] for baseline in BASELINES}
        methods |= {name: scans[key].methods[OURS] for name, scans in ran}
        common.append(dataclasses.replace(first, methods=methods))
    return common


def left_out(shares: Sequence[Share]) -> list[str]:
    """One line on everything that a detector did not finish, and that counts for none."""
    lines = []
    for share in shares:
        if share.found is None:
            continue
        lines += [f"{case.name}, {share.name}: {why}" for case, why in share.found.refused]
        lines += [
            f"{case.name}, synthetic bleed {number}, {share.name}: {why}"
            for case, number, why in share.found.not_inserted
        ]
        lines += [
            f"{case.name}, {share.name}: some slices could not be read, the others count"
            for case in share.found.incomplete
        ]
    return lines


def _by_scan(share: Share) -> dict[tuple[str, str, int], ScanSummary]:
    """Scans by name, kind and number among those of the same name and kind."""
    assert share.found is not None
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for summary in share.found.summaries:
        key = (summary.case.name, summary.kind)
        found[(*key, seen[key])] = summary
        seen[key] += 1
    return found
