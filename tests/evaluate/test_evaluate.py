import builtins
import csv
import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate import run as evaluation
from napari_rsna_inpaint.evaluate.cases import read_cases, slice_truth
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.evaluate.truth import read_truth
from napari_rsna_inpaint.io import read
from napari_rsna_inpaint.io.write import write_nifti

HEADER = "slice_id series index patient_id z_mm any intraparenchymal label_source visual_class"
SECRET = "Doe^Jane"
SCANS = (("ich/s01", 3, "intraparenchymal"), ("no_ich/s02", 4, None))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two labelled phantoms, one damaged series and one that nobody labelled."""
    root = tmp_path_factory.mktemp("data")
    rows = [HEADER.split()]
    for name, seed, bleed in SCANS:
        phantom = head_phantom(seed=seed, bleed=bleed, shape=(4, 128, 128), spacing=(5, 1.5, 1.5))
        for folder, array in (("scans", phantom.volume.hu), ("truth", phantom.lesion_mask)):
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
            if folder == "scans" or bleed:
                write_nifti(root / folder / f"{name}.nii.gz", array, phantom.volume)
        for k, height in enumerate(phantom.volume.positions[:, 2]):
            ill = str(int(phantom.lesion_mask[k].any()))
            patient = f"{SECRET}{seed}"
            rows.append([f"{name}{k}", name, str(k), patient, f"{height}", ill, ill, "RSNA", ""])
    (root / "scans" / "ich" / "s03.nii.gz").write_bytes(b"damaged")
    rows.append(["x", "ich/s03", "0", "P3", "0", "1", "1", "RSNA", ""])
    rows.append(["y", "no_ich/s04", "0", "P4", "0", "", "", "none", "U_uncertain"])
    table = "\n".join("\t".join(row) for row in rows)
    (root / "labels.tsv").write_text(table + "\n")
    return root


def command(data: Path, model: Path, output: Path, *options: str) -> int:
    common = ("--labels", str(data / "labels.tsv"), "-o", str(output), "--model", str(model))
    device = ("--device", "cpu", "--protocol", "interactive", "--bootstrap", "20")
    return main(["evaluate", "--data", str(data / "scans"), *common, *device, *options])


@pytest.fixture(scope="module")
def done(data, tiny_model, tmp_path_factory) -> tuple[Path, int]:
    output = tmp_path_factory.mktemp("evaluation")
    return output, command(data, tiny_model, output, "--truth", str(data / "truth"))


def test_numbers_tables_and_pictures_are_written(done):
    output, code = done
    assert code == 5
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["schema"] == 1
    assert "not a medical device" in metrics["statement"]
    assert metrics["model"]["sha256"]
    assert [entry["series"] for entry in metrics["refused"]] == ["ich/s03"]
    assert metrics["unlabelled"] == ["no_ich/s04"]
    labelled = metrics["sets"]["labelled"]
    assert labelled["counts"]["patients"] == 2
    assert labelled["counts"]["scans_bleeding"] == 1
    assert labelled["counts"]["lesions"] >= 1
    assert list(labelled["methods"]) == ["B0", "B1", "B2", "ours", "ours - B2"]
    for method in labelled["methods"].values():
        for name in ("slice_auroc", "pixel_ceil_dice", "scan_auroc_max"):
            assert {"value", "low", "high", "resamples"} == set(method[name])
            assert method[name]["value"] is not None
    # a dense bleed of known place is easy for thresholds on HU
    assert labelled["methods"]["B2"]["pixel_ceil_dice"]["value"] > 0.5
    # what was kept to go on after a stop is gone
    assert not list(output.glob("scans/**/partial*"))
    table = (output / "table.md").read_text()
    assert "| slice AUROC |" in table
    assert "ich/s03" in table
    for picture in ("roc_labelled", "pr_labelled", "froc_labelled", "froc_slices_labelled"):
        assert (output / f"{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_rows_follow_scans_and_slices(done):
    output, _ = done
    with (output / "slices.csv").open() as file:
        slices = list(csv.DictReader(file))
    with (output / "scans.csv").open() as file:
        scans = list(csv.DictReader(file))
    assert [row["series"] for row in scans] == ["ich/s01", "no_ich/s02"]
    assert [row["bleeding"] for row in scans] == ["1", "0"]
    assert len(slices) == 8
    assert {row["bleed"] for row in slices if row["series"] == "no_ich/s02"} == {"0"}


def test_no_patient_is_named_in_the_output(done):
    output, _ = done
    for path in output.rglob("*"):
        assert SECRET not in path.name
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_what_is_stored_is_not_computed_again(done, data, tiny_model, monkeypatch, capsys):
    output, _ = done
    before = json.loads((output / "metrics.json").read_text())["sets"]

    def refuse(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(evaluation, "detect", refuse)
    assert command(data, tiny_model, output, "--truth", str(data / "truth")) == 5
    assert json.loads((output / "metrics.json").read_text())["sets"] == before
    # another seed is another detection
    with pytest.raises(AssertionError, match="computed again"):
        evaluation.evaluate(
            read_cases(data / "scans", data / "labels.tsv"),
            output,
            settings(tiny_model, seed=7),
            Healthy(),
        )


class Healthy:
    """Stands for the healthy HU of a calibration."""

    def z(self, values, distance_mm):
        return (values - 33) / 6


def settings(model: Path, **options) -> evaluation.Settings:
    common = {"detector": "grid", "protocol": "interactive", "backend": "torch", "device": "cpu"}
    return evaluation.Settings(**{**common, "model": model, "seed": 0, **options})


def test_a_cancelled_evaluation_keeps_its_scans(done, data, tiny_model):
    output, _ = done
    asked = iter([False, True])
    with pytest.raises(Cancelled) as caught:
        evaluation.evaluate(
            read_cases(data / "scans", data / "labels.tsv"),
            output,
            settings(tiny_model),
            Healthy(),
            cancelled=lambda: next(asked),
        )
    assert [summary.case.name for summary in caught.value.partial.summaries] == ["ich/s01"]


def test_the_command_says_how_to_go_on_after_ctrl_c(
    data, tiny_model, tmp_path, monkeypatch, capsys
):
    def stopped(*_, **__):
        raise Cancelled("Cancelled.", evaluation.Evaluation())

    monkeypatch.setattr(evaluation, "evaluate", stopped)
    assert command(data, tiny_model, tmp_path) == 130
    assert "The same command goes on" in capsys.readouterr().err


def test_without_matplotlib_the_numbers_are_written(
    done, data, tiny_model, tmp_path, monkeypatch, capsys
):
    output, _ = done
    (tmp_path / "scans").symlink_to(output / "scans")
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert command(data, tiny_model, tmp_path, "--series", "s01", "s02") == 0
    assert "napari-rsna-inpaint[evaluate]" in capsys.readouterr().err
    assert (tmp_path / "metrics.json").exists()
    assert not list(tmp_path.glob("*.png"))


def test_errors_are_shown(done, data, tiny_model, tmp_path):
    """With labels the wrong way round, the finding is false and the other scan is missed."""
    output, _ = done
    (tmp_path / "scans").symlink_to(output / "scans")
    swap = {"0": "1", "1": "0"}
    rows = [line.split("\t") for line in (data / "labels.tsv").read_text().splitlines()]
    for row in rows[1:]:
        row[5] = swap.get(row[5], "")
    labels = tmp_path / "wrong.tsv"
    labels.write_text("\n".join("\t".join(row) for row in rows))
    options = ("--labels", str(labels), "--series", "s01", "s02")
    assert command(data, tiny_model, tmp_path, *options) == 0
    picture = imagecodecs.png_decode((tmp_path / "worst_errors.png").read_bytes())
    rgb = picture[..., :3].astype(int)
    # the outline of the finding, in its red
    assert ((rgb[..., 0] > 200) & (rgb[..., 1] < 120) & (rgb[..., 2] < 110)).sum() > 50


def test_synthetic_bleeds_have_a_table_of_their_own(done, data, tiny_model, tmp_path):
    output, _ = done
    assert command(data, tiny_model, output, "--series", "s02", "--synthetic", "1") == 0
    metrics = json.loads((output / "metrics.json").read_text())
    counts = metrics["sets"]["synthetic_bhsd"]["counts"]
    assert counts["scans"] == 2
    assert counts["scans_bleeding"] == counts["scans_without_bleed"] == 1
    assert counts["lesions"] >= 1
    assert metrics["sets"]["labelled"]["counts"]["scans_bleeding"] == 0


def test_a_bleed_that_finds_no_place_is_missing_but_its_scan_is_not(
    done, data, tiny_model, tmp_path, monkeypatch, capsys
):
    output, _ = done
    (tmp_path / "scans").symlink_to(output / "scans")
    real = evaluation.synthetic_bleed

    def no_place_for_the_first(volume, brain, name, number, **options):
        if number == 0:
            raise InputRefused("No place.")
        return real(volume, brain, name, number, **options)

    monkeypatch.setattr(evaluation, "synthetic_bleed", no_place_for_the_first)
    assert command(data, tiny_model, tmp_path, "--series", "s02", "--synthetic", "2") == 5
    assert "no_ich/s02, synthetic bleed 0: No place." in capsys.readouterr().err
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["refused"] == []
    assert metrics["not_inserted"] == [{"series": "no_ich/s02", "bleed": 0, "reason": "No place."}]
    assert metrics["sets"]["labelled"]["counts"]["scans"] == 1
    assert metrics["sets"]["synthetic_acute"]["counts"]["scans_bleeding"] == 1
    assert "## Synthetic bleeds left out" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--series", "s99"), "s99"),
        (("--series", "s04"), "no series has labels"),
        (("--series", "s03"), "No scan could be evaluated"),
        (("--truth", "absent"), "--truth"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(data, tiny_model, tmp_path, options, said, capsys):
    assert command(data, tiny_model, tmp_path / "out", *options) == 3
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


@pytest.mark.data
def test_real_outlines_lie_on_blood(data_root):
    folder = data_root / "rsna-head-ct" / "single_slices_ich"
    cases = read_cases(folder, folder / "labels.tsv", ["ID_3fa17b45b", "ID_4f3e8c5c1"])
    for case, subtype in zip(cases, ("intraparenchymal", "intraventricular"), strict=True):
        volume = read(case.path)
        truth = read_truth(folder / "masks", case, volume, slice_truth(case, volume))
        assert set(truth.subtypes) == {subtype}
        inside = volume.hu[truth.lesions > 0]
        assert 45 < np.median(inside) < 80
