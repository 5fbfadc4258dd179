"""From a folder of scans to a verified model, by one command line a step."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_head import make_series, save

from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.evaluate.phantom import head_phantom

BLEEDING = {"ich/s00": "intraparenchymal", "ich/s01": "subdural"}
HEALTHY = tuple(f"no_ich/s{number:02}" for number in range(2, 7))
VALIDATION = HEALTHY[2:]  # for the calibration, too
TEST = (*BLEEDING, "kept/s07")  # neither trained, nor chosen, nor calibrated on
SLICES = 7
HEADER = "slice_id series index patient_id z_mm any intraparenchymal subdural"
NETWORK = {"widths": [8, 16], "groups": 4, "time_channels": 16}
SETTINGS = {
    "model": {"network": NETWORK},
    "batch_size": 4,
    "steps": 24,
    "warmup_steps": 5,
    "learning_rate": 2e-3,
    "precision": "32-true",
    "validation_every": 4,
    "validation_slices": 4,
}


def run(*words) -> None:
    assert main([str(word) for word in words]) == 0


def short(name: str) -> str:
    """Name of a series below the folder of its group."""
    return name.rpartition("/")[2]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Groups of series folders, one patient each, and ``labels.tsv`` beside them."""
    root = tmp_path_factory.mktemp("data")
    lines = [HEADER.split()]
    for seed, name in enumerate((*BLEEDING, *HEALTHY, TEST[-1])):
        bleed, patient = BLEEDING.get(name), f"ID_{seed}"
        head = head_phantom(seed, bleed, (SLICES, 128, 128), (10.0, 1.8, 1.8))
        datasets = make_series(
            head.volume.hu, step=(0.0, 0.0, 10.0), series=f"1.2.{seed}", spacing=(1.8, 1.8)
        )
        for index, (ds, lesion) in enumerate(zip(datasets, head.lesion_mask, strict=True)):
            ds.PatientID = patient
            label = str(int(lesion.any()))
            kinds = (label if bleed == kind else "0" for kind in ("intraparenchymal", "subdural"))
            z_mm = str(ds.ImagePositionPatient[2])
            lines.append([ds.SOPInstanceUID, name, str(index), patient, z_mm, label, *kinds])
        save(root / name, datasets)
    (root / "labels.tsv").write_text("\n".join("\t".join(line) for line in lines) + "\n")
    return root


@pytest.fixture(scope="module")
def prepared(data, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("prepared")
    run("prepare", data / "ich", data / "no_ich", "-o", output, "--workers", 1)
    return output


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("run")
    (output / "tiny.json").write_text(json.dumps(SETTINGS))
    options = ("--config", output / "tiny.json", "--device", "cpu")
    validation = map(short, VALIDATION)
    run("train", "--data", prepared, "--validation", *validation, "-o", output, *options)
    return output


@pytest.fixture(scope="module")
def model(data, trained) -> Path:
    scans = [data / name for name in VALIDATION]
    options = ("--protocol", "interactive", "--device", "cpu")
    run("calibrate", *scans, "--model", trained / "best", *options)
    return trained / "best"


@pytest.fixture(scope="module")
def evaluated(data, model, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("evaluation")
    options = ("--protocol", "interactive", "--device", "cpu", "--synthetic", 1, "--bootstrap", 20)
    labels = ("--labels", data / "labels.tsv", "--series", *TEST)
    run("evaluate", "--data", data, *labels, "-o", output, "--model", model, *options)
    return output


@pytest.fixture(scope="module")
def exported(model, evaluated) -> Path:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    run("export-onnx", "--model", model)
    return model


def test_prepare_knows_who_is_healthy(data, prepared):
    report = {row["name"]: row for row in rows(prepared / "report.csv")}
    healthy = set(map(short, HEALTHY))
    assert set(report) == healthy | set(map(short, BLEEDING))
    assert {row["outcome"] for row in report.values()} == {"prepared"}
    assert {name for name, row in report.items() if row["healthy"] == "True"} == healthy
    assert {int(row["slices"]) for row in report.values()} == {SLICES}
    assert all(int(report[name]["usable"]) >= SLICES - 1 for name in healthy)
    labels = rows(data / "labels.tsv")
    for name in BLEEDING:
        bleeding = sum(row["any"] == "1" for row in labels if row["series"] == name)
        assert int(report[short(name)]["positive"]) == bleeding > 0


def test_train_learns_and_keeps_its_best(trained):
    log = [{name: float(value) for name, value in row.items()} for row in rows(trained / "log.csv")]
    assert [row["step"] for row in log] == list(range(4, 25, 4))
    assert np.isfinite([list(row.values()) for row in log]).all()
    assert log[-1]["healthy_mae_hu"] < log[0]["healthy_mae_hu"]
    assert log[-1]["lesion_contrast"] > log[0]["lesion_contrast"]
    best = json.loads((trained / "best" / "best.json").read_text())
    assert best["score"] == pytest.approx(max(row["score"] for row in log))
    for name in ("model", "best"):
        stored = json.loads((trained / name / "config.json").read_text())
        assert stored["network"]["widths"] == NETWORK["widths"]
        assert (trained / name / "weights.safetensors").is_file()


def test_calibrate_learns_from_kept_scans(model):
    protocols = json.loads((model / "calibration.json").read_text())["detectors"]["grid"]
    assert list(protocols) == ["interactive"]
    calibration = protocols["interactive"]
    assert calibration["n_scans"] == len(calibration["healthy_scan_scores"]) == len(VALIDATION)
    assert 0 < calibration["n_slices"] <= SLICES * len(VALIDATION)
    assert 20 < np.median(calibration["norms"]["hu"]["median"]) < 45


def test_evaluate_measures_the_test_scans_beside_the_baselines(data, evaluated):
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert metrics["model"]["calibrated_for"] == "interactive"
    assert metrics["refused"] == metrics["unlabelled"] == []
    labelled, synthetic = (metrics["sets"][name] for name in ("labelled", "synthetic_bhsd"))
    positive = sum(r["any"] == "1" for r in rows(data / "labels.tsv") if r["series"] in BLEEDING)
    counts = labelled["counts"]
    assert counts["patients"] == counts["scans"] == len(TEST)
    assert counts["scans_bleeding"] == len(BLEEDING)
    assert 0 < counts["slices_bleeding"] <= positive
    assert synthetic["counts"]["lesions"] >= 1
    of_slices = ("slice_auroc", "slice_ap", "scan_auroc_max", "slices_touched", "false_per_scan")
    of_pixels = (*of_slices, "pixel_auprc", "pixel_ceil_dice", "lesion_froc_mean")
    for table, measures in ((labelled, of_slices), (synthetic, of_pixels)):
        assert list(table["methods"]) == ["B0", "B1", "B2", "ours", "ours - B2"]
        for method in table["methods"].values():
            for name in measures:
                assert method[name]["value"] is not None, name  # NaN is written as null
    # the phantom's bleeds are far denser than its brain: whoever sees HU tells them apart
    for method in ("B2", "ours"):
        assert labelled["methods"][method]["slice_auroc"]["value"] > 0.8
    assert "| slice AUROC |" in (evaluated / "table.md").read_text()
    assert len(rows(evaluated / "slices.csv")) == SLICES * (len(TEST) + 1)


def test_the_exported_model_detects_what_torch_detects(data, exported, tmp_path):
    options = ("--model", exported, "--protocol", "interactive", "--device", "cpu")
    for backend in ("torch", "onnx"):
        output = tmp_path / backend
        run("detect", data / "ich/s00", "-o", output, *options, "--backend", backend)
        assert json.loads((output / "run.json").read_text())["backend"] == backend

    def image(backend, name):
        return nib.load(tmp_path / backend / f"{name}.nii.gz").get_fdata()

    assert np.abs(image("torch", "residual")).max() > 5
    np.testing.assert_allclose(image("onnx", "residual"), image("torch", "residual"), atol=0.5)
    heats = [image(backend, "heatmap") for backend in ("torch", "onnx")]
    assert heats[0].max() > 0.3
    assert np.abs(heats[0] - heats[1]).mean() < 0.01


def test_a_finished_model_can_be_verified(exported, capsys):
    run("models", "verify", exported, "--write")
    capsys.readouterr()
    run("models", "verify", exported, "--json")
    (report,) = json.loads(capsys.readouterr().out)["models"]
    assert report["ok"]
    assert report["files"] == dict.fromkeys(
        ["best.json", "calibration.json", "config.json", "denoiser.onnx", "weights.safetensors"],
        "ok",
    )
