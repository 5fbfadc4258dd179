"""The written result of an evaluation: numbers, tables, one row a scan and a slice."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from napari_rsna_inpaint import STATEMENT, __version__
from napari_rsna_inpaint.evaluate.baselines import BASELINES
from napari_rsna_inpaint.evaluate.bootstrap import difference, interval, patient_weights, resample
from napari_rsna_inpaint.evaluate.measures import DEFINITIONS, gather, measure
from napari_rsna_inpaint.evaluate.metrics import Sweep
from napari_rsna_inpaint.evaluate.run import Evaluation, Settings
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES
from napari_rsna_inpaint.evaluate.summary import METHODS, OURS, ScanSummary, labelled, scan_scores
from napari_rsna_inpaint.io.write import write_atomic, write_csv, write_json
from napari_rsna_inpaint.label_table import UNKNOWN

#: The baseline that a model has to beat.
RIVAL = "B2"
#: Tables, by which kinds of scan go in; a synthetic bleed is compared with scans without one.
SETS = {
    "labelled": ("reference",),
    "with_visual": ("reference", "visual"),
    "synthetic_bhsd": ("synthetic_bhsd",),
    "synthetic_acute": ("synthetic_acute",),
}
TITLES = {
    "labelled": "Scans with reference labels",
    "with_visual": "The same, with scans read visually as without bleed",
    "synthetic_bhsd": "Synthetic bleeds, densities of BHSD",
    "synthetic_acute": "Synthetic bleeds, acute densities",
}
#: Below this number a percentile interval is much too narrow.
FEW_PATIENTS = 20
ROWS = {
    "slice_auroc": "slice AUROC",
    "slice_ap": "slice average precision",
    **{f"slice_auroc_{name}": f"slice AUROC, {name}" for name in SUBTYPES},
    "scan_auroc_max": "scan AUROC, highest slice",
    "scan_auroc_top3": "scan AUROC, mean of top 3 slices",
    "slices_touched": "bleeding slices touched by a finding",
    "scans_touched": "bleeding scans touched by a finding",
    "false_per_scan": "false findings per scan without bleed",
    "false_per_scan_all": "... with darker ones",
    "false_per_scan_at_80_slices": "... keeping 80 % of the bleeding slices",
    "false_per_scan_at_80_scans": "... keeping 80 % of the bleeding scans",
    "pixel_auprc": "pixel AUPRC",
    "pixel_auroc": "pixel AUROC",
    "pixel_ceil_dice": "pixel ceil-Dice",
    "pixel_dice_drawn": "Dice of the findings as drawn",
    "pixel_pro": "PRO to false positive rate 0.3",
    "mean_auprc": "AUPRC, mean over scans",
    "mean_ceil_dice": "ceil-Dice, mean over scans",
    "lesion_froc_mean": "FROC, mean sensitivity at 1/8 to 8",
    "lesion_sensitivity_at_1": "lesion sensitivity at 1 false finding a scan",
    "lesion_sensitivity_under_1_ml": "... lesions under 1 ml",
    "lesion_sensitivity_1_to_3_ml": "... 1 to 3 ml",
    "lesion_sensitivity_over_3_ml": "... over 3 ml",
    **{f"lesion_sensitivity_{name}": f"... {name}" for name in (*SUBTYPES, "mixed")},
    "lesion_sensitivity": "lesion sensitivity, all findings",
    "false_per_scan_at_80_lesions": "false findings per scan, keeping 80 % of the lesions",
}


def sets_of(summaries: Sequence[ScanSummary]) -> dict[str, list[ScanSummary]]:
    """Which scans go into which table; tables that would be empty or repeat one are left out."""
    present = {summary.kind for summary in summaries}
    clear = [s for s in summaries if s.kind in ("reference", "visual") and s.bleeding is False]
    found = {}
    for name, kinds in SETS.items():
        if kinds[-1] not in present:
            continue
        chosen = [s for s in summaries if s.kind in kinds]
        found[name] = chosen + (clear if name.startswith("synthetic") else [])
    return found


def measure_all(
    summaries: Sequence[ScanSummary],
    *,
    resamples: int,
    seed: int,
    methods: Sequence[str] = METHODS,
    pairs: Sequence[tuple[str, str]] = ((OURS, RIVAL),),
) -> dict[str, dict[str, dict[str, Any]]]:
    """Every method's measures with intervals, and the paired difference of each of the pairs.

    Returns
    -------
    dict
        Method, or such as ``"ours - B2"``, to measure to ``{"value", "low", "high", "resamples"}``.
    """
    n_patients = len({summary.case.patient for summary in summaries})
    weights = patient_weights(n_patients, resamples, seed)
    raw = {}
    for method in methods:
        pooled = gather(summaries, method)
        raw[method] = resample(partial(measure, pooled), weights)
    table = {
        method: {name: interval(value, spread[name]) for name, value in values.items()}
        for method, (values, spread) in raw.items()
    }
    for one, other in pairs:
        ours, rival = raw[one], raw[other]
        table[f"{one} - {other}"] = {
            name: difference((ours[0][name], ours[1][name]), (rival[0][name], rival[1][name]))
            for name in ours[0]
        }
    return table


def write_report(
    folder: Path, found: Evaluation, settings: Settings, *, resamples: int, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Write ``metrics.json``, ``table.md``, ``scans.csv`` and ``slices.csv``; returns the first.

    Raises
    ------
    OutputFailed
        If a file cannot be written.
    """
    groups = sets_of(found.summaries)
    tables = {
        name: {
            "counts": counts(group),
            "methods": measure_all(group, resamples=resamples, seed=settings.seed),
        }
        for name, group in groups.items()
    }
    content = {
        "schema": 1,
        "statement": STATEMENT,
        "package_version": __version__,
        "python": sys.version.split()[0],
        "dependencies": {name: version(name) for name in ("numpy", "scipy", "torch")},
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
        "methods": {b.name: b.description for b in BASELINES}
        | {OURS: f"detector {settings.detector!r}, protocol {settings.protocol!r}"},
        "definitions": DEFINITIONS
        | {
            "interval": f"95 % percentile interval of {resamples} resamples of patients; "
            "'resamples' counts those in which the measure exists",
            f"{OURS} - {RIVAL}": "paired difference on the same resamples",
        },
        "settings": {
            "seed": settings.seed,
            "bootstrap": resamples,
            "min_brain_cm2": settings.min_brain_cm2,
            "synthetic": settings.synthetic,
            "shapes": len(settings.shapes),
        },
        "refused": [{"series": case.name, "reason": why} for case, why in found.refused],
        "not_inserted": [
            {"series": case.name, "bleed": number, "reason": why}
            for case, number, why in found.not_inserted
        ],
        "unlabelled": [case.name for case in found.unlabelled],
        "slices_missing": [case.name for case in found.incomplete],
        "sets": tables,
    }
    write_csv(folder / "slices.csv", _slice_rows(found.summaries), _SLICE_COLUMNS)
    write_csv(folder / "scans.csv", _scan_rows(found.summaries), _SCAN_COLUMNS)
    write_atomic(folder / "table.md", markdown(content).encode())
    write_json(folder / "metrics.json", content)
    return content


def counts(group: Sequence[ScanSummary]) -> dict[str, int]:
    """Patients, scans, slices and lesions of one table."""
    counted = [labelled(summary) for summary in group]
    bleeds = [summary.bleed[c] == 1 for summary, c in zip(group, counted, strict=True)]
    return {
        "patients": len({summary.case.patient for summary in group}),
        "scans": len(group),
        "scans_bleeding": sum(summary.bleeding is True for summary in group),
        "scans_without_bleed": sum(summary.bleeding is False for summary in group),
        "slices": int(sum(c.sum() for c in counted)),
        "slices_bleeding": int(sum(b.sum() for b in bleeds)),
        "scans_outlined": sum(bool(len(summary.lesion_ml)) for summary in group),
        "lesions": sum(len(summary.lesion_ml) for summary in group),
    }


def markdown(content: Mapping[str, Any]) -> str:
    """The tables for a person; measures that do not exist in a set are left out."""
    model = content["model"]
    sha256 = "" if model["sha256"] is None else f" (sha256 {model['sha256'][:12]})"
    said = "No model of its own" if model["name"] is None else f"Model {model['name']}{sha256}"
    lines = [
        "# Evaluation",
        "",
        f"{said}, protocol {content['protocol']}, backend {content['backend']}. {STATEMENT}",
        "",
        *(f"- {name}: {what}" for name, what in content["methods"].items()),
        "",
        f"Value (95 % interval by patient, {content['settings']['bootstrap']} resamples).",
    ]
    for name, table in content["sets"].items():
        lines += ["", f"## {TITLES[name]}", "", count_line(table["counts"]), ""]
        if table["counts"]["patients"] < FEW_PATIENTS:
            lines += ["So few patients say little, and so do their intervals.", ""]
        columns = list(table["methods"])
        lines += [
            "| | " + " | ".join(columns) + " |",
            "|---" * (len(columns) + 1) + "|",
        ]
        for key, title in ROWS.items():
            cells = [table["methods"][column][key] for column in columns]
            if not all(np.isnan(cell["value"]) for cell in cells[:-1]):
                lines.append(f"| {title} | " + " | ".join(map(cell, cells)) + " |")
    for title, names in (
        ("Refused", [f"{entry['series']}: {entry['reason']}" for entry in content["refused"]]),
        (
            "Synthetic bleeds left out",
            [f"{e['series']}, bleed {e['bleed']}: {e['reason']}" for e in content["not_inserted"]],
        ),
        ("Without labels, left out", content["unlabelled"]),
    ):
        if names:
            lines += ["", f"## {title}", "", *(f"- {name}" for name in names)]
    return "\n".join(lines) + "\n"


def count_line(count: Mapping[str, int]) -> str:
    """One line on `counts`."""
    line = (
        f"Patients: {count['patients']}. Scans: {count['scans']}, {count['scans_bleeding']} "
        f"bleeding, {count['scans_without_bleed']} without bleed. Slices: {count['slices']}, "
        f"{count['slices_bleeding']} with bleed."
    )
    if count["lesions"]:
        line += f" Outlined lesions: {count['lesions']}, in {count['scans_outlined']} scans."
    return line


def cell(entry: Mapping[str, Any]) -> str:
    """Value with its interval, for a person."""
    value, low, high = (_short(entry[key]) for key in ("value", "low", "high"))
    return value if value == low == high else f"{value} ({low} to {high})"


def _short(value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.3f}" if np.isfinite(value) else "not reached"


_SLICE_COLUMNS = (
    "scan",
    "series",
    "kind",
    "index",
    "counted",
    "bleed",
    *SUBTYPES,
    *(f"score_{method}" for method in METHODS),
    *(f"finding_{method}" for method in METHODS),
)


def _slice_rows(summaries: Sequence[ScanSummary]) -> list[dict[str, Any]]:
    """One row a slice; ``finding_*`` is the best score of a bright finding that touches it."""
    rows = []
    for s in summaries:
        for z in range(len(s.bleed)):
            row: dict[str, Any] = {
                "scan": s.case.number,
                "series": s.case.name,
                "kind": s.kind,
                "index": z,
                "counted": int(s.counted[z]),
                "bleed": _known(s.bleed[z]),
            }
            row |= {name: _known(flag) for name, flag in zip(SUBTYPES, s.subtypes[z], strict=True)}
            for name, method in s.methods.items():
                row[f"score_{name}"] = round(float(method.slices[z]), 4)
                best = float(method.best[z])
                row[f"finding_{name}"] = round(best, 4) if np.isfinite(best) else None
            rows.append(row)
    return rows


_SCAN_COLUMNS = (
    "scan",
    "series",
    "patient",
    "kind",
    "bleeding",
    "slices",
    "slices_bleeding",
    "lesions",
    "lesion_ml",
    *(
        f"{what}_{method}"
        for what in ("slice_auroc", "scan_max", "scan_top3", "touched", "bright", "all")
        for method in METHODS
    ),
    "seconds",
)


def _scan_rows(summaries: Sequence[ScanSummary]) -> list[dict[str, Any]]:
    """One row a scan; patients are numbered; ``touched`` counts bleeding slices with a finding."""
    rows = []
    patients: dict[str, int] = {}
    for s in summaries:
        chosen = labelled(s)
        ill = s.bleed[chosen] == 1
        row: dict[str, Any] = {
            "scan": s.case.number,
            "series": s.case.name,
            "patient": patients.setdefault(s.case.patient, len(patients) + 1),
            "kind": s.kind,
            "bleeding": None if s.bleeding is None else int(s.bleeding),
            "slices": int(chosen.sum()),
            "slices_bleeding": int(ill.sum()),
            "lesions": len(s.lesion_ml),
            "lesion_ml": round(float(s.lesion_ml.sum()), 3),
            "seconds": s.seconds,
        }
        for name, method in s.methods.items():
            auroc = float(Sweep.of(method.slices[chosen], ill).auroc())
            row[f"slice_auroc_{name}"] = round(auroc, 4)
            if s.counted.any():
                highest, top3 = scan_scores(method.slices, s.counted)
                row |= {f"scan_max_{name}": round(highest, 4), f"scan_top3_{name}": round(top3, 4)}
            row[f"touched_{name}"] = int(np.isfinite(method.best[chosen][ill]).sum())
            row[f"bright_{name}"] = len(method.scores)
            row[f"all_{name}"] = method.n_candidates
        rows.append(row)
    return rows


def _known(flag: np.integer) -> int | None:
    return None if flag == UNKNOWN else int(flag)
