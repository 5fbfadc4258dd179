import json
import os
import subprocess
import sys

import pytest
import torch

from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.train.prepare import Outcome
from napari_rsna_inpaint.train.shards import open_recipe, shard_path, write_index, write_shard


@pytest.fixture(scope="module")
def folder(series, small, tmp_path_factory):
    """A prepared data set and settings of a tiny run."""
    folder = tmp_path_factory.mktemp("prepared")
    rows = [
        {"name": s.name, "patient": s.patient, "healthy": s.healthy, "slices": len(s.hu)}
        for s in series
    ]
    outcomes = [Outcome(row, one) for row, one in zip(rows, series, strict=True)]
    open_recipe(folder, {"pixel_mm": small.pixel_mm})
    write_index(folder, [write_shard(shard_path(folder, 0), "key", outcomes)])
    settings = {
        "model": small.model_dump(mode="json"),
        "shape": [96, 80],
        "batch_size": 4,
        "steps": 1,
        "precision": "32-true",
        "validation_slices": 2,
    }
    (folder / "tiny.json").write_text(json.dumps(settings))
    return folder


def command(folder, output, *options):
    data = ["--data", str(folder), "--config", str(folder / "tiny.json"), "--device", "cpu"]
    return ["train", *data, "--validation", "head2", "-o", str(output), *options]


def test_a_run_can_be_extended_and_its_best_model_started_from(folder, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(command(folder, first)) == 0
    assert main(command(folder, first, "--steps", "2")) == 0
    out = capsys.readouterr().out
    assert "step 1 " in out
    assert "step 2 " in out
    assert "lesion_contrast" in out
    assert main(command(folder, second, "--init", str(first / "best"))) == 0
    assert (second / "best" / "best.json").is_file()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--validation", "nobody"), "No series is named"),
        (("--lesion-shapes", "nowhere"), "no folder nowhere"),
        (("--init", "nothing"), "no model"),
        (("--data", "nowhere"), "prepare"),
    ],
)
def test_what_is_not_there_is_named(folder, tmp_path, options, sentence, capsys):
    assert main(command(folder, tmp_path / "run", *options)) == 3
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_two_processes_make_the_step_of_one(folder, tmp_path):
    """Gradients of a batch in two processes are those of the whole batch in one."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(command(folder, one)) == 0
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = [sys.executable, *start, "-m", "napari_rsna_inpaint"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "USE_LIBUV": "0"}
    done = subprocess.run(
        [*program, *command(folder, two)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 1 ") == 1
    state = [
        torch.load(run / "checkpoint.pt", weights_only=True)["optimizers"]["network"]["state"]
        for run in (one, two)
    ]
    # after one step Adam's first moment is the clipped gradient times 0.1
    gradients = [
        torch.cat([value["exp_avg"].flatten() for value in each.values()]) for each in state
    ]
    assert gradients[0].norm() > 1e-3
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


def test_a_batch_that_processes_cannot_share_is_refused(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert main(command(folder, tmp_path / "run")) == 3
    assert "--batch-size" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_is_named(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(command(folder, tmp_path / "file" / "run")) == 1
    assert "-o" in capsys.readouterr().err
