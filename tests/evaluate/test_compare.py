import csv
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.evaluate import compare as comparison
from napari_rsna_inpaint.evaluate.cases import read_cases
from napari_rsna_inpaint.evaluate.compare import combined, compare
from napari_rsna_inpaint.evaluate.compare_report import write_comparison
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.evaluate.run import Settings
from napari_rsna_inpaint.evaluate.share import Share, peak_mb
from napari_rsna_inpaint.io.write import write_nifti

SECRET = "Doe^Jane"
HEADER = "slice_id series patient_id z_mm any label_source visual_class"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A labelled phantom with a bleed and one without."""
    root = tmp_path_factory.mktemp("data")
    rows = [HEADER.split()]
    for name, bleed in (("s01", "intraparenchymal"), ("s02", None)):
        phantom = head_phantom(seed=3, bleed=bleed, shape=(3, 96, 96), spacing=(5, 2, 2))
        for folder, array in (("scans", phantom.volume.hu), ("truth", phantom.lesion_mask)):
            (root / folder).mkdir(exist_ok=True)
            if folder == "scans" or bleed:
                write_nifti(root / folder / f"{name}.nii.gz", array, phantom.volume)
        for k, height in enumerate(phantom.volume.positions[:, 2]):
            ill = str(int(phantom.lesion_mask[k].any()))
            rows.append([f"{name}{k}", name, f"{SECRET}{name}", f"{height}", ill, "RSNA", ""])
    (root / "labels.tsv").write_text("\n".join("\t".join(row) for row in rows) + "\n")
    return root


def command(data: Path, model: Path, output: Path, *options: str) -> int:
    common = ("--labels", str(data / "labels.tsv"), "-o", str(output), "--bootstrap", "20")
    how = ("--protocol", "interactive", "--device", "cpu", "--truth", str(data / "truth"))
    which = ("--detectors", "grid", "onestep", "--model", f"grid={model}")
    absent = ("--model", f"onestep={data}")
    every = (*common, *how, *which, *absent, *options)
    return main(["compare", "--data", str(data / "scans"), *every])


@pytest.fixture(scope="module")
def done(data, tiny_model, tmp_path_factory) -> tuple[Path, int]:
    output = tmp_path_factory.mktemp("comparison")
    return output, command(data, tiny_model, output)


def test_a_detector_without_model_is_a_column_that_says_why(done):
    output, code = done
    assert code == 5
    content = json.loads((output / "compare.json").read_text())
    assert "There is no model" in content["detectors"]["onestep"]["failed"]
    assert "failed" not in content["detectors"]["grid"]
    table = (output / "table.md").read_text()
    assert "| | B0 | B1 | B2 | grid | onestep |" in table
    assert "- onestep: not run. There is no model" in table


def test_measures_and_costs_are_in_the_table(done, tiny_model):
    output, _ = done
    content = json.loads((output / "compare.json").read_text())
    methods = content["sets"]["labelled"]["methods"]
    assert list(methods) == ["B0", "B1", "B2", "grid"]
    assert methods["grid"]["pixel_auprc"]["value"] is not None
    costs = content["detectors"]["grid"]["costs"]
    weights = tiny_model / "weights.safetensors"
    assert costs["model_mb"] == weights.stat().st_size / 1e6
    assert 1000 < costs["parameters"] < weights.stat().st_size / 4
    assert costs["seconds_per_scan"] > 0
    assert costs["evaluations_per_scan"] > 0
    # the libraries alone need more than this
    assert 100 < costs["peak_memory_mb"] < 20_000
    with (output / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"B0", "B1", "B2", "grid", "onestep"}


def test_the_sheet_shows_the_slices_and_no_name(done):
    output, _ = done
    picture = imagecodecs.png_decode((output / "sheet.png").read_bytes())
    assert picture.shape[0] > 100
    assert np.ptp(picture[..., :3]) > 100
    for path in output.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_finished_scans_are_not_computed_again(done, data, tiny_model):
    output, _ = done
    stored = list(output.glob("grid/scans/*/detection.npz"))
    assert len(stored) == 2
    before = {path: path.stat().st_mtime_ns for path in stored}
    costs = json.loads((output / "compare.json").read_text())["detectors"]["grid"]["costs"]
    assert command(data, tiny_model, output) == 5
    assert {path: path.stat().st_mtime_ns for path in stored} == before
    again = json.loads((output / "compare.json").read_text())["detectors"]["grid"]["costs"]
    # what only read stored scans needed less memory, and is not what the detector needs
    assert again == {**costs, "peak_memory_mb": pytest.approx(costs["peak_memory_mb"], abs=0.1)}


def plan(detector: str, model: Path | None = None) -> Settings:
    return Settings(detector, "interactive", "torch", model, "cpu", 0)


def test_a_stop_ends_the_process_and_keeps_what_is_finished(data, tiny_model, tmp_path):
    with pytest.raises(Cancelled):
        compare(
            read_cases(data / "scans", data / "labels.tsv"),
            tmp_path,
            [plan("grid", tiny_model)],
            Healthy(),
            cancelled=lambda: True,
        )
    assert not list(tmp_path.glob("grid/scans/*/detection.npz"))


class Healthy:
    """Stands for the healthy HU of a calibration."""

    def z(self, values, distance_mm):
        return (values - 33) / 6


def test_the_command_says_how_to_go_on(data, tiny_model, tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise Cancelled

    monkeypatch.setattr(comparison, "compare", stopped)
    assert command(data, tiny_model, tmp_path) == 130
    assert "The same command goes on" in capsys.readouterr().err


@pytest.fixture(scope="module")
def two(done, data, tiny_model) -> list[Share]:
    """The finished share, once as grid and once as if it were another detector."""
    output, _ = done
    from napari_rsna_inpaint.evaluate.run import evaluate

    found = evaluate(
        read_cases(data / "scans", data / "labels.tsv"),
        output / "grid",
        plan("grid", tiny_model),
        Healthy(),
        truth=data / "truth",
    )
    return [Share(plan("grid"), found), Share(plan("other"), found)]


def test_the_same_detector_twice_differs_by_nothing(two, tmp_path):
    content = write_comparison(tmp_path, two, resamples=20)
    methods = content["sets"]["labelled"]["methods"]
    known = [e for e in methods["other - grid"].values() if np.isfinite(e["value"])]
    assert len(known) > 5
    assert {entry[key] for entry in known for key in ("value", "low", "high")} == {0.0}
    assert "Paired differences to grid" in (tmp_path / "table.md").read_text()


def test_only_scans_that_all_finished_are_compared(two):
    grid, other = two
    fewer = type(other.found)(summaries=other.found.summaries[:1])
    common = combined([grid, Share(other.settings, fewer), Share(plan("failed"), reason="No.")])
    assert [summary.case.name for summary in common] == ["s01"]
    assert list(common[0].methods) == ["B0", "B1", "B2", "grid", "other"]


def test_memory_only_grows():
    before = peak_mb()
    assert np.ones(10_000_000).sum() > 0
    assert peak_mb() >= before > 10
