"""Time, memory and quality of every way to complete the middle slice."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from napari_rsna_inpaint.bench.clock import PeakMemory, timed
from napari_rsna_inpaint.bench.counting import CountedDenoiser, Enough
from napari_rsna_inpaint.bench.methods import MASKED_DDIM, REPAINT, Method
from napari_rsna_inpaint.bench.subject import FloatImages, HiddenSlice, Subject
from napari_rsna_inpaint.inpaint.engine import Denoiser

#: A method with more evaluations than this runs once, or in part where it shall be quick.
LONG = 60
#: Evaluations of that part.
PART = 30


@dataclass(frozen=True)
class CompletionRow:
    """One method; None where it was not measured.

    Attributes
    ----------
    evaluations
        Network evaluations of one completion; 0 without a network.
    ms, ms_per_evaluation
        Median of all completions of the slice, and the same divided by the evaluations.
    times_faster_than_repaint, times_faster_than_masked_ddim
        Ratios of the medians; below 1 is slower.
    mae_hu
        Mean absolute error on the slice as it is, HU.
    lesion_auroc
        Of the signed residual, on the copy with a bleed.
    peak_mb
        Peak memory above that before, 10^6 bytes.
    repeats, measured_evaluations
        Runs that the median is of; evaluations that were run and multiplied, where not all.
    note
        Why there are no figures.
    """

    method: str
    evaluations: int
    ms: float | None = None
    ms_per_evaluation: float | None = None
    times_faster_than_repaint: float | None = None
    times_faster_than_masked_ddim: float | None = None
    mae_hu: float | None = None
    lesion_auroc: float | None = None
    peak_mb: float | None = None
    repeats: int = 0
    measured_evaluations: int | None = None
    note: str = ""


@dataclass
class _Measured:
    method: Method
    limit: int | None
    seconds: list[float] = field(default_factory=list)
    calls: int = 0
    mae_hu: float | None = None
    lesion_auroc: float | None = None
    peak_mb: float | None = None


def measure_completions(
    methods: Sequence[Method],
    subject: Subject,
    denoiser: Denoiser,
    *,
    repeats: int,
    quick: bool,
    say: Callable[[str], None],
) -> list[CompletionRow]:
    """Measure all methods on one slice, in rounds, so that a busy moment meets them all.

    The slice with the bleed comes first and warms up; the times are of the plain slice.
    """
    missing = {method.name: _missing(method) for method in methods}
    found = {
        method.name: _Measured(method, PART if quick and method.evaluations > LONG else None)
        for method in methods
        if not missing[method.name]
    }
    for measured in found.values():
        say(measured.method.name)
        _first_pass(measured, subject, denoiser)
    for number in range(repeats):
        say(f"times, round {number + 1} of {repeats}")
        for measured in found.values():
            if number == 0 or measured.method.evaluations <= LONG:
                _time(measured, subject.plain, denoiser)
    return compared(
        [
            _row(found[method.name])
            if method.name in found
            else CompletionRow(method.name, method.evaluations, note=missing[method.name])
            for method in methods
        ]
    )


def _missing(method: Method) -> str:
    try:
        if method.module:
            importlib.import_module(method.module)
    except ImportError:
        return f"{method.package} is not installed"
    return ""


def _first_pass(measured: _Measured, subject: Subject, denoiser: Denoiser) -> None:
    bled = subject.bled
    with PeakMemory() as memory:
        completions = _run(measured, bled or subject.plain, denoiser)
    measured.peak_mb = memory.mb
    if bled is not None and completions is not None:
        measured.lesion_auroc = bled.lesion_auroc(completions, denoiser.config)


def _time(measured: _Measured, plain: HiddenSlice, denoiser: Denoiser) -> None:
    seconds, completions = timed(lambda: _run(measured, plain, denoiser), denoiser.device)
    measured.seconds.append(seconds)
    if completions is not None:
        measured.mae_hu = plain.mean_absolute_error(completions, denoiser.config)


def _run(measured: _Measured, hidden: HiddenSlice, denoiser: Denoiser) -> FloatImages | None:
    """Completions, or None where only a part of the evaluations is run."""
    counted = CountedDenoiser(denoiser, measured.limit)
    try:
        return measured.method.fill(hidden, counted)
    except Enough:
        return None
    finally:
        measured.calls = counted.calls


def _row(measured: _Measured) -> CompletionRow:
    method = measured.method
    ms = 1000 * statistics.median(measured.seconds)
    if measured.limit is not None:
        ms *= method.evaluations / measured.calls
    evaluations = method.evaluations if measured.limit is not None else measured.calls
    return CompletionRow(
        method.name,
        evaluations,
        ms=ms,
        ms_per_evaluation=ms / evaluations if evaluations else None,
        mae_hu=measured.mae_hu,
        lesion_auroc=measured.lesion_auroc,
        peak_mb=measured.peak_mb,
        repeats=len(measured.seconds),
        measured_evaluations=measured.limit,
    )


def compared(measured: Sequence[CompletionRow]) -> list[CompletionRow]:
    """The same rows with their speed relative to RePaint and to masked DDIM."""
    ms = {row.method: row.ms for row in measured}

    def times(name: str, row: CompletionRow) -> float | None:
        reference = ms.get(name)
        return None if reference is None or not row.ms else reference / row.ms

    return [
        replace(
            row,
            times_faster_than_repaint=times(REPAINT, row),
            times_faster_than_masked_ddim=times(MASKED_DDIM, row),
        )
        for row in measured
    ]
