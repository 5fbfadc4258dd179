"""The written result of a comparison: one table, as Markdown, JSON and CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from napari_rsna_inpaint import STATEMENT, __version__
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.baselines import BASELINES
from napari_rsna_inpaint.evaluate.compare import combined, left_out
from napari_rsna_inpaint.evaluate.measures import DEFINITIONS
from napari_rsna_inpaint.evaluate.report import (
    FEW_PATIENTS,
    ROWS,
    TITLES,
    cell,
    count_line,
    counts,
    measure_all,
    sets_of,
)
from napari_rsna_inpaint.evaluate.share import NO_NETWORK, Share
from napari_rsna_inpaint.io.write import write_atomic, write_csv, write_json

#: The detector that the others are compared with.
REFERENCE = "grid"
COSTS = {
    "seconds_per_scan": "seconds per scan",
    "evaluations_per_scan": "network evaluations per scan",
    "peak_memory_mb": "peak memory of the process, MB",
    "parameters": "parameters",
    "model_mb": "model, MB",
}
COST_DEFINITIONS = {
    "seconds_per_scan": "median over the scans, synthetic ones too, that were not interrupted; "
    "on the machine that ran the comparison",
    "evaluations_per_scan": "calls of the network for one image (a block of slices for a network "
    "of volumes), median over the same scans",
    "peak_memory_mb": "highest resident memory of the detector's process, with "
    "program, libraries and scan, without the memory of a GPU; 10^6 bytes",
    "parameters": "of all networks that the detector loads",
    "model_mb": "size of their weights; 10^6 bytes",
}


def write_comparison(folder: Path, shares: Sequence[Share], *, resamples: int) -> dict[str, Any]:
    """Write ``table.md``, ``compare.json`` and ``compare.csv``; returns the second.

    Raises
    ------
    InputRefused
        If no detector ran, or no scan was finished by all that did.
    OutputFailed
        If a file cannot be written.
    """
    if all(share.found is None for share in shares):
        said = " ".join(f"{share.name}: {share.reason}" for share in shares)
        raise InputRefused(f"No detector could be run. {said}")
    summaries = combined(shares)
    if not summaries:
        raise InputRefused("No scan was finished by every detector; look at the lines above.")
    ran = [share.name for share in shares if share.found is not None]
    methods = [*(baseline.name for baseline in BASELINES), *ran]
    pairs = [(name, REFERENCE) for name in ran if name != REFERENCE and REFERENCE in ran]
    seed = shares[0].settings.seed
    content = {
        "schema": 1,
        "statement": STATEMENT,
        "package_version": __version__,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "baselines": {baseline.name: baseline.description for baseline in BASELINES},
        "detectors": {share.name: _about(share) for share in shares},
        "definitions": DEFINITIONS
        | COST_DEFINITIONS
        | {
            "interval": f"95 % percentile interval of {resamples} resamples of patients",
            f"... - {REFERENCE}": "paired difference on the same scans and resamples",
        },
        "settings": {
            "seed": seed,
            "protocol": shares[0].settings.protocol,
            "bootstrap": resamples,
            "synthetic": shares[0].settings.synthetic,
            "min_brain_cm2": shares[0].settings.min_brain_cm2,
        },
        "left_out": left_out(shares),
        "sets": {
            name: {
                "counts": counts(group),
                "methods": measure_all(
                    group, resamples=resamples, seed=seed, methods=methods, pairs=pairs
                ),
            }
            for name, group in sets_of(summaries).items()
        },
    }
    write_csv(folder / "compare.csv", _rows(content), _COLUMNS)
    write_atomic(folder / "table.md", markdown(content).encode())
    write_json(folder / "compare.json", content)
    return content


def _about(share: Share) -> dict[str, Any]:
    if share.found is None:
        return {"failed": share.reason}
    calls = 0 if share.name in NO_NETWORK else None
    whole = [summary for summary in share.found.summaries if not summary.interrupted]
    return {
        "provenance": share.about,
        "costs": {
            "seconds_per_scan": median(s.seconds for s in whole) if whole else None,
            "evaluations_per_scan": median(s.evaluations for s in whole)
            if whole and calls is None
            else calls,
            "peak_memory_mb": share.peak_mb,
            "parameters": share.parameters,
            "model_mb": None if share.model_bytes is None else share.model_bytes / 1e6,
        },
    }


def markdown(content: Mapping[str, Any]) -> str:
    """The tables for a person; measures that do not exist in a set are left out."""
    detectors: Mapping[str, Mapping[str, Any]] = content["detectors"]
    ran = [name for name, about in detectors.items() if "failed" not in about]
    lines = [
        "# Detectors compared",
        "",
        f"Protocol {content['settings']['protocol']}, the same scans for all. {STATEMENT}",
        "",
        *(f"- {name}: {what}" for name, what in content["baselines"].items()),
        *(_line(name, about) for name, about in detectors.items()),
        "",
        f"Value (95 % interval by patient, {content['settings']['bootstrap']} resamples).",
    ]
    columns = [*content["baselines"], *detectors]
    others = [name for name in ran if name != REFERENCE]
    for name, table in content["sets"].items():
        lines += ["", f"## {TITLES[name]}", "", count_line(table["counts"]), ""]
        if table["counts"]["patients"] < FEW_PATIENTS:
            lines += ["So few patients say little, and so do their intervals.", ""]
        lines += _table(table["methods"], columns)
        if REFERENCE in ran and others:
            shown = [f"{other} - {REFERENCE}" for other in others]
            lines += ["", f"Paired differences to {REFERENCE}:", ""]
            lines += _table(table["methods"], shown)
    lines += ["", "## Cost", "", *_head(list(detectors))]
    for key, title in COSTS.items():
        values = [about.get("costs", {}).get(key) for about in detectors.values()]
        lines.append(f"| {title} | " + " | ".join(map(_number, values)) + " |")
    lines += ["", *(f"- {COSTS[key]}: {what}." for key, what in COST_DEFINITIONS.items())]
    if content["left_out"]:
        lines += ["", "## Left out", "", *(f"- {line}" for line in content["left_out"])]
    return "\n".join(lines) + "\n"


def _line(name: str, about: Mapping[str, Any]) -> str:
    if "failed" in about:
        return f"- {name}: not run. {about['failed']}"
    provenance = about["provenance"]
    model, sha256 = provenance.get("model"), provenance.get("model_sha256")
    said = f"model {model}" if isinstance(model, str) else "no model of its own"
    return f"- {name}: {said}" + (f" (sha256 {sha256[:12]})" if isinstance(sha256, str) else "")


def _table(methods: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    lines = _head(columns)
    known = [name for name in columns if name in methods]
    for key, title in ROWS.items():
        if all(np.isnan(methods[name][key]["value"]) for name in known):
            continue
        cells = [cell(methods[name][key]) if name in methods else "-" for name in columns]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _head(columns: Sequence[str]) -> list[str]:
    return ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"


_COLUMNS = ("set", "measure", "method", "value", "low", "high", "resamples")


def _rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each measure and method; costs, and detectors that failed, without a set."""
    rows: list[dict[str, Any]] = [
        {"set": name, "measure": measure, "method": method, **_finite(entry)}
        for name, table in content["sets"].items()
        for method, measures in table["methods"].items()
        for measure, entry in measures.items()
    ]
    for name, about in content["detectors"].items():
        costs = about.get("costs", dict.fromkeys(COSTS))
        rows += [{"measure": key, "method": name, "value": value} for key, value in costs.items()]
    return rows


def _finite(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v if math.isfinite(v) else None for k, v in entry.items()}
