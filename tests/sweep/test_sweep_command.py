from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pytest

from napari_rsna_inpaint import detect
from napari_rsna_inpaint.commands import sweep as command
from napari_rsna_inpaint.detection.files import write_detection
from napari_rsna_inpaint.errors import InputRefused, UsageError
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.io.write import write_nifti
from napari_rsna_inpaint.sweep.files import write_sweep
from napari_rsna_inpaint.sweep.run import sweep
from napari_rsna_inpaint.sweep.settings import SweepSettings
from napari_rsna_inpaint.sweep.subject import Subject


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(
        seed=3, bleed="intraparenchymal", shape=(6, 160, 160), spacing=(5.0, 1.25, 1.25)
    )


@pytest.fixture(scope="module")
def detection(phantom, tiny_model):
    return detect(phantom.volume, model=tiny_model, device="cpu")


@pytest.fixture(scope="module")
def folder(phantom, detection, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "s00"
    folder.mkdir()
    write_detection(folder, detection, phantom.volume)
    write_nifti(folder / "truth.nii.gz", phantom.lesion_mask, phantom.volume)
    return folder


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(one) for one in arguments]))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_saved_sweep_is_repeated_from_the_folder_of_the_result(detection, folder, tmp_path):
    """What the window saves, of a result in memory, gives the same table on the command line."""
    saved, again = tmp_path / "saved", tmp_path / "again"
    saved.mkdir()
    for settings in (
        SweepSettings(metric="heatmap", threshold=0.66, min_area_mm2=40),
        SweepSettings(metric="earth_mover", size_mm=32, threshold=3.3),
    ):
        write_sweep(saved, sweep([Subject("s00", detection)], settings))
        assert run(folder, "--settings", saved / "sweep.json", "-o", again) == 0
        assert (again / "sweep.csv").read_text() == (saved / "sweep.csv").read_text()
        assert (again / "sweep.json").read_text() == (saved / "sweep.json").read_text()


def test_labels_and_outlines_fill_their_columns(phantom, folder, tmp_path, capsys):
    labels = tmp_path / "labels.tsv"
    ill = phantom.lesion_mask.any((1, 2))
    # z of the slices, as the phantom has no names for them
    heights = phantom.volume.positions[:, 2]
    table = [f"s00_{z}\tich/s00\t{mm:.3f}\t{int(ill[z])}" for z, mm in enumerate(heights)]
    labels.write_text("\n".join(["slice_id\tseries\tz_mm\tany", *table]))
    out = tmp_path / "out"
    options = ("--labels", labels, "--truth", folder / "truth.nii.gz", "-o", out)
    assert run(folder, *options) == 0
    assert (out / "sweep.png").stat().st_size > 5000
    printed = capsys.readouterr()
    assert "not for diagnosis" in printed.err
    assert "detector's own: 0.5" in printed.out
    row = rows(out)[0]
    for name in ("slice_sensitivity", "lesion_sensitivity", "pixel_recall", "scan_sensitivity"):
        assert 0 <= float(row[name]) <= 1
    assert row["accepted_kept"] == row["scan_specificity"] == ""
    content = json.loads((out / "sweep.json").read_text())
    assert "not for diagnosis" in content["statement"]
    assert content["results"][0]["name"] == "s00"


def test_without_matplotlib_only_the_picture_is_missing(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert run(folder, "-o", tmp_path) == 0
    assert "pip install" in capsys.readouterr().err
    assert rows(tmp_path)
    assert not (tmp_path / "sweep.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "colour"], "no metric 'colour'"),
        (["--metric", "mse"], "name their --size"),
        (["--size", "16"], "has no squares"),
        (["--truth", "a.nii.gz", "b.nii.gz"], "2 masks were given for 1 results"),
    ],
)
def test_options_that_do_not_go_together_are_a_matter_of_usage(folder, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        run(folder, *options, "-o", tmp_path)


def test_what_cannot_be_read_is_refused_in_a_sentence(phantom, folder, tmp_path):
    other = tmp_path / "other.nii.gz"
    small = head_phantom(seed=3, bleed="none", shape=(4, 32, 32), spacing=(5.0, 5.0, 5.0))
    write_nifti(other, np.zeros((4, 32, 32), bool), small.volume)
    (tmp_path / "labels.tsv").write_text("slice_id\tany\nelsewhere\t1")
    (tmp_path / "sweep.json").write_text("{}")
    for options, message in (
        ([tmp_path], "no complete result"),
        ([folder, "--truth", other], "another grid"),
        ([folder, "--labels", tmp_path / "labels.tsv"], "no label of a slice of s00"),
        ([folder, "--settings", tmp_path / "sweep.json"], "is no sweep.json"),
    ):
        with pytest.raises(InputRefused, match=message):
            run(*options, "-o", tmp_path / "out")
