import argparse
import csv
import json
import shutil
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from mr_cases import LPS, load, save, write_case

from napari_rsna_inpaint.brats import masks
from napari_rsna_inpaint.brats.cases import find_cases
from napari_rsna_inpaint.brats.complete import complete_cases
from napari_rsna_inpaint.commands import brats
from napari_rsna_inpaint.diffusion.wavelet_model import load_wavelet_denoiser
from napari_rsna_inpaint.errors import Cancelled, InputRefused, UsageError
from napari_rsna_inpaint.inpaint.volumetric import VolumeSampling
from napari_rsna_inpaint.train.shards import open_dataset

NAME = "BraTS-GLI-00001-000"
TURNED = np.array([[0, 1.0, 0, 5], [0, 0, 1, -7], [-1, 0, 0, 30], [0, 0, 0, 1]])


def command(*arguments):
    parser = argparse.ArgumentParser()
    brats.add_arguments(parser)
    return brats.run(parser.parse_args([str(one) for one in arguments]))


def inpaint(cases, model, output, *options):
    return command("inpaint", cases, "--model", model, "-o", output, "--device", "cpu", *options)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("affine", [LPS, TURNED], ids=["lps", "turned"])
def test_only_the_mask_changes_on_the_very_same_grid(tmp_path, mr_model, affine, dtype):
    import nibabel as nib

    files = write_case(tmp_path / "cases", affine=affine, dtype=dtype)
    assert inpaint(tmp_path / "cases", mr_model, tmp_path / "out") == 0
    result = nib.load(tmp_path / "out" / f"{NAME}-t1n-inference.nii.gz")
    np.testing.assert_array_equal(result.affine, affine)
    made, hole = np.asarray(result.dataobj.get_unscaled()), files["mask"] > 0
    assert made.dtype == dtype
    np.testing.assert_array_equal(made[~hole], files["t1n-voided"][~hole])
    assert (made[hole] > 0).mean() > 0.9
    assert made[hole].max() <= files["t1n"].max() + 1


def test_turned_files_get_the_same_completion(tmp_path, mr_model):
    """Stored axes do not matter: the network always sees the same head."""
    files = write_case(tmp_path / "a")
    # i to the left, j back, k up; stored as (k down, i, j turned to the front)
    for part in ("t1n-voided", "mask"):
        turned = files[part].transpose(2, 0, 1)[::-1, ::-1, ::-1]
        save(tmp_path / "b" / NAME / f"{NAME}-{part}.nii.gz", turned, TURNED)
    for one in "ab":
        assert inpaint(tmp_path / one, mr_model, tmp_path / f"out-{one}") == 0
    first, second = (load(tmp_path / f"out-{n}" / f"{NAME}-t1n-inference.nii.gz") for n in "ab")
    np.testing.assert_array_equal(second, first.transpose(2, 0, 1)[::-1, ::-1, ::-1])


def test_a_completion_does_not_depend_on_other_cases_and_its_samples_are_averaged(
    cases_folder, mr_model, tmp_path
):
    assert inpaint(cases_folder, mr_model, tmp_path / "all") == 0
    shutil.copytree(cases_folder / NAME, tmp_path / "one" / NAME)
    assert inpaint(tmp_path / "one", mr_model, tmp_path / "alone", "--samples", 2) == 0
    single = load(tmp_path / "all" / f"{NAME}-t1n-inference.nii.gz")
    first, second = (load(tmp_path / "alone" / f"{NAME}-sample-{n}.nii.gz") for n in (1, 2))
    np.testing.assert_array_equal(single, first)
    assert (first != second).any()
    mean = load(tmp_path / "alone" / f"{NAME}-t1n-inference.nii.gz")
    np.testing.assert_allclose(mean, (first + second.astype(float)) / 2, atol=0.51)


def test_a_cancelled_run_goes_on(cases_folder, mr_model, tmp_path, monkeypatch, capsys):
    whole, output = tmp_path / "whole", tmp_path / "out"
    assert inpaint(cases_folder, mr_model, whole) == 0
    asked = threading.Event()

    @contextmanager
    def stop_after_a_case():
        class Stop:
            def is_set(self):
                return any(output.glob("*.json")) and not asked.is_set()

        yield Stop()

    monkeypatch.setattr(brats, "stop_on_interrupt", stop_after_a_case)
    assert inpaint(cases_folder, mr_model, output) == 130
    assert "goes on" in capsys.readouterr().err
    finished = sorted(output.glob("*.nii.gz"))
    assert len(finished) == 1
    asked.set()
    before = finished[0].stat().st_mtime_ns
    assert inpaint(cases_folder, mr_model, output) == 0
    assert finished[0].stat().st_mtime_ns == before
    for file in whole.glob("*.nii.gz"):
        assert (output / file.name).read_bytes() == file.read_bytes()


def test_cancelling_within_a_case_leaves_no_part_of_it(cases_folder, mr_model, tmp_path):
    denoiser, calls = load_wavelet_denoiser(mr_model, "cpu"), []
    with pytest.raises(Cancelled):
        complete_cases(
            find_cases(cases_folder),
            tmp_path,
            denoiser,
            VolumeSampling(),
            model="m",
            on_progress=lambda *call: calls.append(call),
            cancelled=lambda: len(calls) > 0,
        )
    assert list(tmp_path.iterdir()) == []
    assert 0 < calls[0][0] < 1


def test_a_bad_case_is_named_and_the_others_go_on(cases_folder, mr_model, tmp_path, capsys):
    cases = tmp_path / "cases"
    shutil.copytree(cases_folder, cases)
    (cases / NAME / f"{NAME}-t1n-voided.nii.gz").write_bytes(b"nonsense")
    write_case(cases, "BraTS-GLI-00009-000", affine=np.diag([-2.0, -2.0, 1.0, 1.0]))
    assert inpaint(cases, mr_model, tmp_path / "out") == 5
    told = capsys.readouterr().err
    assert f"{NAME}: {NAME}-t1n-voided.nii.gz is no NIfTI file or is damaged" in told
    assert "BraTS-GLI-00009-000: The voxels measure 2 x 2 mm" in told
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 2


def test_a_model_of_ct_is_refused(cases_folder, tmp_path):
    from wavelet_models import save_small_model

    with pytest.raises(InputRefused, match="other images than MR"):
        inpaint(cases_folder, save_small_model(tmp_path / "ct"), tmp_path / "out")


def test_scores_of_the_truth_and_of_nothing(cases_folder, tmp_path, capsys):
    for case in find_cases(cases_folder):
        for folder, part in (("best", "t1n"), ("worst", "t1n-voided")):
            (tmp_path / folder).mkdir(exist_ok=True)
            target = tmp_path / folder / f"{case.name}-t1n-inference.nii.gz"
            shutil.copy(case.files[part], target)
    assert command("score", cases_folder, tmp_path / "best", "-o", tmp_path / "best.json") == 0
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["mean"]["ssim"] == pytest.approx(1)
    assert best["mean"]["mse"] == 0
    assert best["mean"]["psnr"] is None
    assert [row["case"] for row in best["cases"]] == [f"BraTS-GLI-0000{n}-000" for n in range(3)]
    (tmp_path / "worst" / f"{NAME}-t1n-inference.nii.gz").unlink()
    assert command("score", cases_folder, tmp_path / "worst", "-o", tmp_path / "worst.csv") == 5
    assert f"{NAME}: There is no result" in capsys.readouterr().err
    with (tmp_path / "worst.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 2
    assert all(float(row["ssim"]) < 0.2 for row in rows)
    with pytest.raises(UsageError):
        command("score", cases_folder, tmp_path / "best", "-o", tmp_path / "best.txt")


def test_extra_masks_are_whole_cases(cases_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(masks, "RADIUS_MM", (5.0, 9.0))
    output = tmp_path / "extra"
    assert command("masks", cases_folder, "-o", output, "--per-case", 2, "--seed", 3) in (0, 5)
    told = json.loads((output / "masks.json").read_text())
    assert len(told["masks"]) == 6
    made = [record for record in told["masks"] if not record["given_up"]]
    assert made
    for record in made:
        (case,) = (one for one in find_cases(output) if one.name == record["case"])
        assert len(case.files) == 5
        source = next(one for one in find_cases(cases_folder) if one.name == record["source"])
        assert case.patient == source.patient
        t1n, voided, healthy, unhealthy, mask = (
            load(case.files[part])
            for part in ("t1n", "t1n-voided", "mask-healthy", "mask-unhealthy", "mask")
        )
        np.testing.assert_array_equal(t1n, load(source.files["t1n"]))
        assert not (healthy & unhealthy).any()
        assert (t1n[healthy > 0] > 0).all()
        np.testing.assert_array_equal(mask, healthy | unhealthy)
        np.testing.assert_array_equal(voided, np.where(mask, 0, t1n))
        assert healthy.sum() == record["voxels"]
    before = {path: path.stat().st_mtime_ns for path in output.glob("*/*")}
    command("masks", cases_folder, "-o", output, "--per-case", 2, "--seed", 3)
    assert {path: path.stat().st_mtime_ns for path in output.glob("*/*")} == before
    command("masks", cases_folder, "-o", tmp_path / "again", "--per-case", 1, "--seed", 3)
    for path in (tmp_path / "again").glob("*/*-mask-healthy.nii.gz"):
        assert path.read_bytes() == (output / path.parent.name / path.name).read_bytes()


def test_a_case_without_room_for_a_mask_is_reported(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(masks, "MARGIN_MM", 100.0)
    write_case(tmp_path / "cases")
    assert command("masks", tmp_path / "cases", "-o", tmp_path / "out", "--per-case", 1) == 5
    assert "given up" in capsys.readouterr().err
    (record,) = json.loads((tmp_path / "out" / "masks.json").read_text())["masks"]
    assert record["given_up"]
    assert not any(blob["placed"] for blob in record["blobs"])


def test_prepared_cases_hold_no_unhealthy_tissue(cases_folder, tmp_path):
    assert command("prepare", cases_folder, "-o", tmp_path) == 0
    series = open_dataset(tmp_path, 1.0)
    assert [one.name for one in series] == [f"BraTS-GLI-0000{n}-000" for n in range(3)]
    for one, case in zip(series, find_cases(cases_folder), strict=True):
        t1n, unhealthy = load(case.files["t1n"]), load(case.files["mask-unhealthy"])
        brain, values = (np.stack(list(a)) for a in (one.brain, one.hu))
        assert brain.sum() == ((t1n > 0) & (unhealthy == 0)).sum()
        assert (values.min(), values.max()) == (0, 1000)
        assert not values[~brain].any()
        assert one.healthy
    assert len({one.patient for one in series}) == 3


def test_a_prepared_data_set_is_not_made_twice(cases_folder, tmp_path, capsys):
    cases = tmp_path / "cases"
    shutil.copytree(cases_folder, cases)
    (cases / NAME / f"{NAME}-t1n.nii.gz").unlink()
    assert command("prepare", cases, "-o", tmp_path / "data") == 5
    assert f"{NAME}: The case has no" in capsys.readouterr().err
    assert len(open_dataset(tmp_path / "data")) == 2
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").glob("shard*")}
    shutil.copy(cases_folder / NAME / f"{NAME}-t1n.nii.gz", cases / NAME)
    assert command("prepare", cases, "-o", tmp_path / "data") == 0
    assert len(open_dataset(tmp_path / "data")) == 3
    for path, time in before.items():
        assert path.stat().st_mtime_ns == time


def test_from_cases_to_a_model_to_completions(cases_folder, tmp_path):
    """The settings that are written beside the data train a model that completes the cases."""
    pytest.importorskip("lightning_fabric")
    from napari_rsna_inpaint.cli import main

    data, run = tmp_path / "data", tmp_path / "run"
    assert command("prepare", cases_folder, "-o", data) == 0
    settings = json.loads((data / "train.json").read_text())
    settings["model"] |= {"block_sections": 16, "context_sections": 4}
    settings["model"]["network"] |= {"widths": [8, 16, 16], "time_channels": 16}
    settings |= {"shape": [40, 40], "batch_size": 1, "steps": 1, "validation_slices": 1}
    (tmp_path / "small.json").write_text(json.dumps(settings | {"precision": "32-true"}))
    options = ["--method", "wavelet3d", "--config", str(tmp_path / "small.json")]
    held_out = ["--validation", "BraTS-GLI-00002-000", "--device", "cpu"]
    assert main(["train", "--data", str(data), *held_out, *options, "-o", str(run)]) == 0
    assert inpaint(cases_folder, run / "model", tmp_path / "out") == 0
    assert len(list((tmp_path / "out").glob("*-t1n-inference.nii.gz"))) == 3
