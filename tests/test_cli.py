import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.io.write import write_nifti

FILES = {
    "brain_mask.nii.gz",
    "inpainted.nii.gz",
    "residual.nii.gz",
    "heatmap.nii.gz",
    "minimum_distance.nii.gz",
    "findings.nii.gz",
    "findings.json",
    "slices.csv",
    "squares.csv",
    "run.json",
}


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    volume = head_phantom(
        seed=3, bleed="intraparenchymal", shape=(4, 128, 128), spacing=(5.0, 1.5, 1.5)
    ).volume
    path = tmp_path_factory.mktemp("scan") / "scan.nii.gz"
    write_nifti(path, volume.hu, volume)
    return path


def run_detect(scan, folder, model, *options) -> int:
    return main(["detect", str(scan), "-o", str(folder), "--model", str(model), *options])


def test_detect_writes_every_file_on_the_grid_of_the_input(scan, tiny_model, tmp_path, capsys):
    assert run_detect(scan, tmp_path / "out", tiny_model, "--device", "cpu") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    source = nibabel.load(scan)
    images = {}
    for path in (tmp_path / "out").glob("*.nii.gz"):
        image = nibabel.load(path)
        assert image.shape == source.shape
        np.testing.assert_array_equal(image.affine, source.affine)
        images[path.name] = np.asarray(image.dataobj)
    np.testing.assert_allclose(
        images["residual.nii.gz"],
        np.asarray(source.dataobj) - images["inpainted.nii.gz"],
        atol=1e-3,
    )
    findings = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert findings["schema"] == 1
    assert "not a medical device" in findings["statement"]
    with (tmp_path / "out" / "slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == [0, 1, 2, 3]
    heights = [float(row["z_mm"]) for row in rows]
    np.testing.assert_allclose(heights, source.affine[2, 3] + source.affine[2, 2] * np.arange(4))
    assert all("scan.nii.gz" in row["file"] for row in rows)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["model_sha256"]
    assert run["finished"] is True
    assert "not a medical device" in capsys.readouterr().err


def test_mask_command(scan, tmp_path, capsys):
    out = tmp_path / "mask.nii.gz"
    assert main(["mask", str(scan), "-o", str(out)]) == 0
    assert set(np.unique(np.asarray(nibabel.load(out).dataobj))) == {0, 1}
    assert "ml" in capsys.readouterr().out


def test_info_speaks_json(scan, capsys):
    assert main(["info", str(scan), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["series"][0]["shape"] == [4, 128, 128]
    assert found["skipped"] == []


def test_reinpaint_command(scan, tiny_model, tmp_path):
    source = nibabel.load(scan)
    region = np.zeros(source.shape, np.uint8)
    region[50:70, 50:70, 1:3] = 1
    path = tmp_path / "region.nii.gz"
    nibabel.save(nibabel.Nifti1Image(region, source.affine), path)
    arguments = ["reinpaint", str(scan), "--region", str(path), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--model", str(tiny_model), "--samples", "2"]) == 0
    mean = np.asarray(nibabel.load(tmp_path / "out" / "mean.nii.gz").dataobj)
    changed = mean != np.asarray(source.dataobj)
    assert changed.any()
    assert not changed[region == 0].any()


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "absent"])
def test_a_damaged_region_is_refused(scan, tiny_model, tmp_path, damage, capsys):
    source = nibabel.load(scan)
    path = tmp_path / "region.nii.gz"
    region = np.random.default_rng(0).integers(0, 2, source.shape, dtype=np.uint8)
    nibabel.save(nibabel.Nifti1Image(region, source.affine), path)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0x55
    elif damage == "text":
        content = bytearray(b"This is not an image.")
    path.write_bytes(content)
    if damage == "absent":
        path.unlink()
    arguments = ["reinpaint", str(scan), "--region", str(path), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--model", str(tiny_model)]) == 3
    assert "Traceback" not in capsys.readouterr().err


def test_a_region_on_another_grid_is_refused(scan, tiny_model, tmp_path, capsys):
    path = tmp_path / "region.nii.gz"
    source = nibabel.load(scan)
    nibabel.save(nibabel.Nifti1Image(np.ones(source.shape, np.uint8), np.eye(4)), path)
    arguments = ["reinpaint", str(scan), "--region", str(path), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--model", str(tiny_model)]) == 3
    assert "another grid" in capsys.readouterr().err


@pytest.fixture
def bad_inputs(tmp_path) -> dict[str, Path]:
    (tmp_path / "empty").mkdir()
    text = tmp_path / "letter.txt"
    text.write_text("Dear colleague, ...")
    cut = tmp_path / "cut.nii.gz"
    volume = head_phantom(shape=(3, 64, 64), spacing=(5.0, 3.0, 3.0)).volume
    whole = write_nifti(tmp_path / "whole.nii.gz", volume.hu, volume)
    cut.write_bytes(whole.read_bytes()[:4000])
    grey = tmp_path / "grey.nii.gz"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    nibabel.save(nibabel.Nifti1Image(pixels, np.diag([3.0, 3.0, 5.0, 1.0])), grey)
    return {
        "absent": tmp_path / "absent",
        "empty": tmp_path / "empty",
        "text": text,
        "cut": cut,
        "grey": grey,
    }


@pytest.mark.parametrize("kind", ["absent", "empty", "text", "cut", "grey"])
def test_bad_input_is_refused_in_a_sentence(bad_inputs, kind, tiny_model, tmp_path, capsys):
    assert run_detect(bad_inputs[kind], tmp_path / "out", tiny_model) == 3
    message = capsys.readouterr().err.strip().splitlines()
    said = [line for line in message if "medical device" not in line]
    assert 1 <= len(said) <= 2
    assert len(said[0]) > 20
    assert "Traceback" not in "".join(message)
    assert not (tmp_path / "out").exists()


def test_usage_errors_exit_with_2(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["detect"])
    assert caught.value.code == 2


def test_debug_shows_where_it_failed(tmp_path, capsys):
    assert main(["--debug", "info", str(tmp_path / "absent")]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_an_unforeseen_failure_is_a_sentence_too(scan, tmp_path, monkeypatch, capsys):
    from napari_rsna_inpaint import brain

    def broken(*_, **__):
        raise ZeroDivisionError("division by zero\nsecond line")

    monkeypatch.setattr(brain, "brain_mask", broken)
    assert main(["mask", str(scan), "-o", str(tmp_path / "mask.nii.gz")]) == 1
    message = capsys.readouterr().err
    assert "division by zero" in message
    assert "--debug" in message
    assert "Traceback" not in message


def test_info_says_when_there_is_nothing(tmp_path, capsys):
    assert main(["info", str(tmp_path)]) == 3
    assert "No CT series" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--seed", "-1"), ("--batch-size", "0")])
def test_impossible_numbers_are_usage_errors(scan, tmp_path, option):
    with pytest.raises(SystemExit) as caught:
        main(["detect", str(scan), "-o", str(tmp_path / "out"), *option])
    assert caught.value.code == 2


@pytest.mark.parametrize("content", ["{", "[1]", '{"no_such_setting": 1}', '{"steps": -5}'])
def test_bad_training_settings_are_refused(tmp_path, content, capsys):
    config = tmp_path / "config.json"
    config.write_text(content)
    command = ["train", "--data", str(tmp_path), "-o", str(tmp_path / "run")]
    assert main([*command, "--config", str(config)]) == 3
    assert "config.json" in capsys.readouterr().err


def test_other_peoples_files_survive_and_a_mistyped_model_costs_nothing(scan, tmp_path, tiny_model):
    store = tmp_path / "out" / ".rsna-inpaint-partial" / "abc"
    store.mkdir(parents=True)
    (store / "notes.txt").write_text("mine")
    (store / "slice_0001.npz").write_text("hours of work")
    assert run_detect(scan, tmp_path / "out", "mistyped") == 3
    assert (store / "slice_0001.npz").exists()
    assert run_detect(scan, tmp_path / "out", tiny_model) == 0
    assert (store / "notes.txt").read_text() == "mine"
    assert not (store / "slice_0001.npz").exists()


def test_an_output_folder_that_cannot_be_is_named(scan, tiny_model, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run_detect(scan, tmp_path / "file" / "out", tiny_model) == 1
    assert "-o" in capsys.readouterr().err


def test_start_is_light():
    """The command line itself loads neither torch nor napari nor the imaging libraries."""
    code = (
        "import sys, napari_rsna_inpaint.cli as c; c._parser();"
        "print([m for m in ('torch','napari','scipy','skimage','numpy','pydicom') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_python_interface_needs_no_qt():
    code = (
        "import sys; from napari_rsna_inpaint import read, detect, reinpaint, CTVolume;"
        "assert callable(read) and callable(detect) and callable(reinpaint);"
        "print([m for m in sys.modules if m.startswith(('napari.', 'qtpy', 'PyQt', 'magicgui'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_interrupt_keeps_finished_slices_and_resume_completes_them(scan, tiny_model, tmp_path):
    out = tmp_path / "out"
    command = [
        *(sys.executable, "-m", "napari_rsna_inpaint", "detect", str(scan), "-o", str(out)),
        *("--model", str(tiny_model), "--protocol", "full", "--device", "cpu"),
        *("--batch-size", "1"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(out.glob(".rsna-inpaint-partial/*/slice_*.npz")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "--resume" in process.stderr.read()
    first = json.loads((out / "run.json").read_text())
    assert first["finished"] is False
    assert subprocess.run([*command, "--resume"], capture_output=True).returncode == 0
    second = json.loads((out / "run.json").read_text())
    assert second["finished"] is True
    assert not (out / ".rsna-inpaint-partial").exists()
