"""How much learning from verdicts helps on other patients, with verdicts from labels.

    python -m napari_rsna_inpaint.learning.demonstration --data DATA --labels labels.tsv -o DIR

Detects in every scan and in copies with synthetic bleeds, draws patients whose scans are
annotated, fits, and counts false findings and bleeds in the scans of all other patients.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.detection.files import make_folder
from napari_rsna_inpaint.evaluate.cases import read_cases
from napari_rsna_inpaint.io.write import write_atomic, write_json
from napari_rsna_inpaint.learning.annotated import ACCEPTED, REJECTED, Annotated
from napari_rsna_inpaint.learning.features import FEATURES
from napari_rsna_inpaint.learning.model import PRIOR, LearnedRescorer, fit
from napari_rsna_inpaint.learning.simulated import Judged, JudgedScan, judged_scans

#: What a reader is shown: findings of the model, or the most suspicious regions of a scan.
OPERATING_POINTS: dict[str, int | None] = {
    "operating point of the model": None,
    "at most 3 a scan": 3,
    "at most 5 a scan": 5,
}

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """Scans of the other patients in one split.

    Attributes
    ----------
    before, after
        False findings a scan as shown before, and by the re-scorer with its threshold.
    equal, threshold_alone
        The same when as many bleeds are found as before, by the best threshold on the corrected
        score, and on the detector's.
    found, kept, bleeds
        Synthetic bleeds found before, found after, and all.
    """

    before: float
    after: float
    equal: float
    threshold_alone: float
    found: int
    kept: int
    bleeds: int


def shown(scan: JudgedScan, most: int | None) -> list[Judged]:
    """The regions of a scan that a reader sees."""
    return [r for r in scan.regions if r.shown] if most is None else scan.regions[:most]


def annotate(
    scans: Sequence[JudgedScan], most: int | None, rng: np.random.Generator
) -> list[Annotated]:
    """Verdicts on one scan of a patient: every second time with a bleed, if there is one."""
    bled = [scan for scan in scans if scan.bleed > 0]
    plain = [scan for scan in scans if scan.bleed == 0]
    pool = bled if bled and (not plain or rng.random() < 0.5) else plain
    scan = pool[rng.integers(len(pool))]
    return [
        Annotated(scan.patient, region.finding, region.features, region.verdict)
        for region in shown(scan, most)
    ]


def judge(
    patients: Sequence[Sequence[JudgedScan]], most: int | None, model: LearnedRescorer
) -> Outcome:
    """What a re-scorer changes in scans of patients that it was not fitted to.

    Only synthetic bleeds count as found or missed: of the real ones there is no outline.
    """
    old, new, weights = [], [], []  # of false findings
    best_old, best_new = [], []  # of every bleed
    before = after = 0.0
    found = kept = bleeds = 0
    for scans in patients:
        for scan in scans:
            regions = shown(scan, most)
            features = np.array([r.features for r in regions], np.float64)
            features = features.reshape(-1, len(FEATURES))
            prior, corrected, visible = (
                features[:, PRIOR],
                model.score(features),
                model.shows(features),
            )
            false = np.array([r.verdict == REJECTED for r in regions], bool)
            hit = np.array([r.verdict == ACCEPTED for r in regions], bool)
            share = 1 / len(scans)
            before += false.sum() * share
            after += (false & visible).sum() * share
            old.append(prior[false])
            new.append(corrected[false])
            weights.append(np.full(false.sum(), share))
            if scan.bleed > 0:
                bleeds += 1
                found += bool(hit.any())
                kept += bool((hit & visible).any())
                if hit.any():
                    best_old.append(prior[hit].max())
                    best_new.append(corrected[hit].max())
    n = len(patients)
    weight = np.concatenate(weights)

    def at_equal(false: list[FloatArray], best: list[float]) -> float:
        reached = np.concatenate(false) >= min(best, default=np.inf)
        return float(weight[reached].sum()) / n

    return Outcome(
        before=before / n,
        after=after / n,
        equal=at_equal(new, best_new),
        threshold_alone=at_equal(old, best_old),
        found=found,
        kept=kept,
        bleeds=bleeds,
    )


def experiment(
    scans: Sequence[JudgedScan], annotated: int, most: int | None, splits: int, seed: int
) -> list[Outcome | None]:
    """Random splits of the patients; None where too little was annotated to fit anything."""
    by_patient: dict[str, list[JudgedScan]] = {}
    for scan in scans:
        by_patient.setdefault(scan.patient, []).append(scan)
    patients = [by_patient[name] for name in sorted(by_patient)]
    outcomes: list[Outcome | None] = []
    for split in range(splits):
        rng = np.random.default_rng([seed, split])
        order = rng.permutation(len(patients))
        chosen = [patients[i] for i in order[:annotated]]
        model = fit([row for one in chosen for row in annotate(one, most, rng)])
        rest = [patients[i] for i in order[annotated:]]
        outcomes.append(None if model is None else judge(rest, most, model))
    return outcomes


def summarise(outcomes: Sequence[Outcome | None]) -> dict[str, Any]:
    """Means over the splits in which something was fitted, with 5 and 95 % quantiles."""
    fitted = [one for one in outcomes if one is not None]
    summary: dict[str, Any] = {"splits": len(outcomes), "fitted": len(fitted)}
    if not fitted:
        return summary
    values = {name: np.array([asdict(one)[name] for one in fitted]) for name in asdict(fitted[0])}
    before = values["before"]
    summary["before"] = float(before.mean())
    summary["after"] = float(values["after"].mean())
    summary["sensitivity_before"] = float((values["found"] / values["bleeds"]).mean())
    lost = (values["found"] - values["kept"]) / values["bleeds"] * 100
    summary["points_lost"] = float(lost.mean())
    summary["points_lost_interval"] = [float(q) for q in np.quantile(lost, (0.05, 0.95))]
    some = before > 0
    for name in ("after", "equal", "threshold_alone"):
        fewer = 1 - values[name][some] / before[some]
        summary[f"fewer_{name}"] = float(1 - values[name].sum() / before.sum())
        summary[f"fewer_{name}_interval"] = [float(q) for q in np.quantile(fewer, (0.05, 0.95))]
    return summary


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Markdown: one table an operating point, one row a number of annotated scans."""
    lines = [f"{STATEMENT}", ""]
    head = (
        "| annotated scans | fitted | false a scan: before | after | fewer | points of "
        "sensitivity lost | fewer at equal sensitivity | a higher threshold alone |"
    )
    for point, by_number in results.items():
        lines += [f"## {point[0].upper()}{point[1:]}", "", head, "|---" * 8 + "|"]
        for number, s in by_number.items():
            cells = [number, f"{s['fitted']} of {s['splits']} splits"]
            if "before" in s:
                cells += [
                    f"{s['before']:.2f}",
                    f"{s['after']:.2f}",
                    _percent(s, "fewer_after"),
                    "{:.1f} ({:.1f} to {:.1f}) of {:.0f}".format(
                        s["points_lost"], *s["points_lost_interval"], 100 * s["sensitivity_before"]
                    ),
                    _percent(s, "fewer_equal"),
                    _percent(s, "fewer_threshold_alone"),
                ]
            else:
                cells += ["stays as it is"] + [""] * 5
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _percent(summary: dict[str, Any], name: str) -> str:
    low, high = summary[f"{name}_interval"]
    return f"{100 * summary[name]:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demonstration from the command line."""
    parser = ArgumentParser(prog="python -m napari_rsna_inpaint.learning.demonstration")
    parser.add_argument("--data", type=Path, required=True, help="folder of the scans")
    parser.add_argument("--labels", type=Path, required=True, help="table, one row a slice")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--series", nargs="+", default=[], help="only these of the table")
    parser.add_argument("--shapes", type=Path, help="folder of NIfTI masks of real bleeds")
    parser.add_argument("--bleeds", type=int, default=2, help="synthetic ones a healthy scan")
    parser.add_argument("--annotated", type=int, nargs="+", default=[5, 10, 15, 20])
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--protocol", default="fast")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", type=Path)
    given = parser.parse_args(arguments)
    cases = [
        case for case in read_cases(given.data, given.labels, given.series) if case.source != "none"
    ]
    make_folder(given.output / "scans")
    scans = list(
        judged_scans(
            cases,
            given.output / "scans",
            bleeds=given.bleeds,
            shapes=sorted(given.shapes.rglob("*.nii*")) if given.shapes else (),
            seed=given.seed,
            on_scan=lambda line: print(line, flush=True),
            protocol=given.protocol,
            backend=given.backend,
            device=given.device,
            model=given.model,
        )
    )
    results = {
        point: {
            str(n): summarise(experiment(scans, n, most, given.splits, given.seed))
            for n in given.annotated
        }
        for point, most in OPERATING_POINTS.items()
    }
    write_json(given.output / "demonstration.json", results)
    text = table(results)
    write_atomic(given.output / "table.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
