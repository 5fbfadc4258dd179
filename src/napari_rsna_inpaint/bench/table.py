"""The figures as tables for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Where the output is no terminal; nothing is cut off at this width.
WIDTH = 100


@dataclass(frozen=True)
class Table:
    """One table: text cells, and the sentences below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def print_tables(found: dict[str, Any]) -> None:
    """Print all tables of ``bench`` on stdout."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    console.print(Text(_heading(found)))
    for table in tables(found):
        shown = RichTable(
            title=table.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        cells = zip(*table.rows, strict=True)
        for number, (column, below) in enumerate(zip(table.columns, cells, strict=True)):
            # words and numbers stay whole; the headings of numbers may take several lines
            shown.add_column(
                column,
                justify="right" if number else "left",
                no_wrap=not number,
                min_width=max(map(len, (*column.split(), *below))),
            )
        for row in table.rows:
            shown.add_row(*(Text(cell) for cell in row))
        console.print(shown)
        for note in table.notes:
            console.print(Text(f" {note}"))
        console.print()


def _heading(found: dict[str, Any]) -> str:
    machine, model, scan = found["machine"], found["model"], found["input"]
    z, y, x = scan["shape"]
    lines = (
        f"{machine['cpu']}, {_count(machine['cores'], 'core')}, "
        f"{_count(machine['threads'], 'thread')}; torch {machine['packages']['torch']}",
        f"model {model['name']}, {model['gflop_per_evaluation']:.1f} GFLOP for one evaluation of "
        f"{_size(scan['model_grid'])} pixels",
        f"scan of {z} slices of {y} x {x}; its slice {scan['slice']} is taken as healthy",
    )
    return "\n".join(lines) + "\n"


def tables(found: dict[str, Any]) -> list[Table]:
    """All tables, in order; those of the GPU where there is one."""
    made = [
        _completions(found),
        _one_slice(found),
        _scan(found["scan"], "Whole scan, from the volume in memory to findings and images"),
        _network(found["network"], "The network"),
        _single_times(found),
        _floor(found["floor"]),
    ]
    gpu = found["gpu"]
    if "absent" in gpu:
        return made
    name = found["machine"]["gpu"]
    region = gpu["region"]
    memory = (
        f"A region of {region['side_mm']:.0f} mm, {region['completions']} completions: "
        f"{_number(region['seconds'])} s. Peak GPU memory: {gpu['peak_gpu_mb']:.0f} MB.",
    )
    return [
        *made,
        _scan(gpu["scan"], f"Whole scan on {name}, bfloat16", memory),
        _network(gpu["network"], f"The network on {name}"),
        _floor(gpu["floor"], f" on {name}"),
    ]


def _completions(found: dict[str, Any]) -> Table:
    rows = []
    notes = [
        "Calls: network evaluations of one completion. Faster: ratio of times, below 1 is slower. "
        "Error: mean absolute, on the slice as it is.",
        "Bleed: pixel AUROC of the signed residual on a copy with a synthetic bleed of "
        f"{found['input']['bleed_ml'] or 0:.0f} ml.",
    ]
    if found["input"]["bleed_ml"] is None:
        notes[-1] = "Bleed: no place for a synthetic bleed was found in this slice."
    for row in found["completions"]:
        if row["note"]:
            rows.append((row["method"], *["-"] * 8))
            notes.append(f"{row['method']}: not measured, {row['note']}.")
            continue
        part = row["measured_evaluations"]
        if part is not None:
            notes.append(
                f"* {row['method']}: measured on {part} of its {row['evaluations']} evaluations "
                "and multiplied."
            )
        rows.append(
            (
                row["method"] + ("" if part is None else " *"),
                str(row["evaluations"]) if row["evaluations"] else "-",
                _number(row["ms"]),
                _number(row["ms_per_evaluation"]),
                _number(row["times_faster_than_repaint"]),
                _number(row["times_faster_than_masked_ddim"]),
                _number(row["mae_hu"]),
                "-" if row["lesion_auroc"] is None else f"{row['lesion_auroc']:.3f}",
                "-" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}",
            )
        )
    return Table(
        f"One slice, {found['input']['completions_per_slice']} completions that cover its brain "
        "once: same network, same holes",
        (
            "method",
            "calls",
            "ms a slice",
            "ms a call",
            "faster than RePaint",
            "faster than masked DDIM",
            "error HU",
            "bleed AUROC",
            "peak MB",
        ),
        tuple(rows),
        tuple(notes),
    )


def _one_slice(found: dict[str, Any]) -> Table:
    published = found["published"]
    rows = []
    width = 3 + len(published)
    notes = [
        "Published protocol: 4 sizes, 4 offsets, 9 phases, DDIM 50, at 256 x 256 pixels; random "
        "weights (speed only).",
    ]
    for row in published:
        label = f"published, {row['network']}"
        if row["note"]:
            rows.append((label, *["-"] * width))
            notes.append(f"{label}: not measured, {row['note']}.")
            continue
        rows.append(
            (
                f"{label} *",
                f"{row['evaluations']:,}",
                _number(row["gflop"]),
                _number(row["seconds"]),
                *["-"] * len(published),
            )
        )
        notes.append(
            f"* {row['network']}: {row['parameters'] / 1e6:.0f} million parameters, "
            f"{row['gflop_per_evaluation']:.0f} GFLOP an evaluation; measured on "
            f"{row['measured_evaluations']} evaluations and multiplied."
        )
    for row in found["one_slice"]:
        part = row["measured_evaluations"] < row["evaluations"]
        if part:
            notes.append(
                f"* {row['protocol']}: measured on {row['measured_evaluations']} evaluations and "
                "multiplied."
            )
        ratios = [p["seconds"] / row["seconds"] if p["seconds"] else None for p in published]
        rows.append(
            (
                row["protocol"] + (" *" if part else ""),
                f"{row['evaluations']:,}",
                _number(row["gflop"]),
                _number(row["seconds"]),
                *(_number(ratio) for ratio in ratios),
            )
        )
    return Table(
        "One slice, all sizes and offsets: the published protocol and the protocols here",
        (
            "protocol",
            "evaluations",
            "GFLOP",
            "seconds",
            *(f"faster than {row['network']}" for row in published),
        ),
        tuple(rows),
        tuple(notes),
    )


def _scan(rows: Sequence[dict[str, Any]], title: str, notes: tuple[str, ...] = ()) -> Table:
    if any(row["estimated"] for row in rows):
        notes = (*notes, "* not run: the time of one slice, multiplied by the evaluations.")
    return Table(
        title,
        ("protocol", "slices", "evaluations", "seconds", "outside the network, s", "peak MB"),
        tuple(
            (
                row["protocol"] + (" *" if row["estimated"] else ""),
                str(row["slices"]),
                f"{row['evaluations']:,}",
                _number(row["seconds"]),
                _number(row["outside_network_seconds"]),
                "-" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}",
            )
            for row in rows
        ),
        notes,
    )


def _network(rows: Sequence[dict[str, Any]], title: str) -> Table:
    first = next(row for row in rows if row["times"])
    cases = [(tuple(time["shape"]), time["images"]) for time in first["times"]]
    shown = []
    notes = []
    for row in rows:
        if row["note"]:
            notes.append(f"{row['backend']}: {row['note']}.")
        error = row["relative_error"]
        shown.append(
            (
                row["backend"],
                *(
                    f"{_number(time['ms_per_image'])} ({_number(time['times_faster'])})"
                    for time in row["times"]
                ),
                *["-"] * (len(cases) - len(row["times"])),
                "-" if error is None else f"{error:.1e}",
            )
        )
    return Table(
        f"{title}: ms an image, and in brackets times faster than PyTorch as it is with one",
        (
            "backend",
            *(f"{_size(shape)}, {_count(n, 'image')}" for shape, n in cases),
            "relative error",
        ),
        tuple(shown),
        tuple(notes),
    )


def _single_times(found: dict[str, Any]) -> Table:
    region = found["region"]
    return Table(
        "Waiting for an answer",
        ("what", "seconds"),
        (
            (
                f"region of {region['side_mm']:.0f} x {region['side_mm']:.0f} mm, "
                f"{region['completions']} completions, brain mask known",
                _number(region["seconds"]),
            ),
            *(
                (f"rsna-inpaint {row['command']}, in a new process", _number(row["seconds"]))
                for row in found["start"]
            ),
        ),
    )


def _floor(floor: dict[str, Any], where: str = "") -> Table:
    peaks = floor["peak_gflops"]
    return Table(
        f"Whole scan and the arithmetic floor{where}",
        (
            "protocol",
            "GFLOP",
            "seconds",
            *(f"floor in {name}, s" for name in peaks),
            *(f"times above ({name})" for name in peaks),
        ),
        tuple(
            (
                row["protocol"],
                _number(row["gflop"]),
                _number(row["seconds"]),
                *(_number(row["floor_seconds"][name]) for name in peaks),
                *(_number(row["times_above"][name]) for name in peaks),
            )
            for row in floor["rows"]
        ),
        (
            "Floor: operations of the network at the peak of a large matrix product, "
            + ", ".join(f"{peak:.0f} GFLOP/s in {name}" for name, peak in peaks.items())
            + ".",
        ),
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _number(value: float | None) -> str:
    """Three digits that count, two of a small number."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
