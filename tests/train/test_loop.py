import csv
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from napari_rsna_inpaint.diffusion.model import ModelConfig, load_denoiser
from napari_rsna_inpaint.diffusion.model_folder import load_config
from napari_rsna_inpaint.diffusion.unet import UNetConfig
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.train.loop import Trainer
from napari_rsna_inpaint.train.settings import TrainConfig


@pytest.fixture
def config(small):
    def make(steps: int, **options) -> TrainConfig:
        plain = {
            "model": small,
            "shape": (96, 80),
            "batch_size": 4,
            "steps": steps,
            "warmup_steps": 5,
            "learning_rate": 5e-3,
            "ema_decay": 0.9,
            "validation_every": steps,
            "validation_slices": 4,
            "precision": "32-true",
        }
        return TrainConfig(**(plain | options))

    return make


def trainer(config, series, folder, **options):
    return Trainer(config, series[:1], series[1:], folder, "cpu", **options)


def table(folder):
    with (folder / "log.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def weights(folder):
    return load_file(folder / "weights.safetensors")


def test_training_lowers_the_error_on_another_head(config, small, series, tmp_path):
    for steps in (2, 40):  # the second run goes on from the first
        trainer(config(steps, precision="bf16-mixed", validation_every=40), series, tmp_path).run()
    rows = table(tmp_path)
    assert [row["step"] for row in rows] == [2, 40]
    assert rows[-1]["healthy_mae_hu"] < 0.9 * rows[0]["healthy_mae_hu"]
    assert rows[-1]["lesion_contrast"] > rows[0]["lesion_contrast"]
    assert load_denoiser(tmp_path / "model", device="cpu").config == small


def test_a_resumed_run_equals_an_uninterrupted_one(config, series, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = config(6, validation_every=2)
    trainer(settings, series, whole).run()
    for steps in (3, 1):  # stopped after step 3, then after step 4
        asked = []
        with pytest.raises(Cancelled):
            trainer(settings, series, parts).run(
                cancelled=lambda asked=asked, steps=steps: asked.append(1) or len(asked) == steps
            )
    resumed = trainer(settings, series, parts)
    assert resumed.step == 4
    resumed.run()
    for name in ("model", "best"):
        expected = weights(whole / name)
        for key, value in weights(parts / name).items():
            assert torch.equal(value, expected[key])
    rows = [[{**row, "seconds": 0} for row in table(folder)] for folder in (whole, parts)]
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0]] == [2, 4, 6]
    assert (parts / "best" / "best.json").read_text().count("score") == 1


def test_the_best_model_is_that_of_the_highest_score(config, series, tmp_path):
    # a learning rate far too high: the last model is not the best one
    trainer(
        config(8, validation_every=1, schedule="constant", learning_rate=0.5, warmup_steps=8),
        series,
        tmp_path,
    ).run()
    rows = table(tmp_path)
    best = max(rows, key=lambda row: row["score"])
    assert best["step"] < 8
    assert json.loads((tmp_path / "best" / "best.json").read_text())["step"] == best["step"]
    for row in rows:
        assert row["score"] == pytest.approx(row["lesion_contrast"] / row["healthy_mae_hu"])
    load_denoiser(tmp_path / "best", device="cpu")


def test_without_validation_there_is_a_last_model_but_no_best(config, series, tmp_path):
    Trainer(config(2), series, [], tmp_path, "cpu").run()
    assert (tmp_path / "model").is_dir()
    assert not (tmp_path / "best").exists()
    assert "nan" not in (tmp_path / "log.csv").read_text()


def test_pictures_and_tensorboard_come_with_the_table(config, series, tmp_path):
    from imagecodecs import imread

    trainer(config(4, picture_every=2), series, tmp_path).run()
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in pictures] == ["step_0000002.png", "step_0000004.png"]
    assert imread(pictures[0]).shape == (4 * 96, 4 * 80, 3)
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert json.loads((tmp_path / "train.json").read_text())["batch_size"] == 4


def test_training_starts_from_a_model(config, small, series, tmp_path):
    torch.manual_seed(7)
    trainer(config(1), series, tmp_path / "first").run()
    first = tmp_path / "first" / "model"
    trainer(config(1, learning_rate=1e-12), series, tmp_path / "second", init=first).run()
    expected = weights(first)
    for key, value in weights(tmp_path / "second" / "model").items():
        torch.testing.assert_close(value, expected[key])
    other = config(1, model=small.model_copy(update={"hu_scale": 10.0}))
    with pytest.raises(InputRefused, match="another configuration"):
        trainer(other, series, tmp_path / "third", init=first)


def test_learning_rate_schedules(config):
    cosine, constant = config(100), config(100, schedule="constant")
    assert cosine.learning_rate_at(0) == constant.learning_rate_at(0) == pytest.approx(1e-3)
    assert {constant.learning_rate_at(step) for step in range(4, 100)} == {5e-3}
    rates = [cosine.learning_rate_at(step) for step in range(4, 100)]
    assert rates == sorted(rates, reverse=True)
    assert rates[46] == pytest.approx(2.5e-3)
    assert rates[-1] == pytest.approx(1e-4)


def test_a_run_with_other_settings_is_not_resumed(config, small, series, tmp_path):
    trainer(config(2), series, tmp_path).run()
    other = small.model_copy(update={"network": UNetConfig(widths=(8, 16), groups=4)})
    for name, value in (
        ("model", other),
        ("learning_rate", 1e-3),
        ("batch_size", 2),
        ("schedule", "constant"),
    ):
        with pytest.raises(InputRefused, match=rf"\({name}\)"):
            trainer(config(2, **{name: value}), series, tmp_path)
    with pytest.raises(InputRefused, match=r"\(steps\)"):
        trainer(config(1, validation_every=2), series, tmp_path)
    with pytest.raises(InputRefused, match=r"\(--data, --validation\)"):
        trainer(config(2), series[::-1], tmp_path)
    assert trainer(config(3, validation_every=2), series, tmp_path).step == 2


def test_a_damaged_checkpoint_says_what_to_do(config, series, tmp_path):
    trainer(config(1), series, tmp_path).run()
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(InputRefused, match="remove it"):
        trainer(config(1), series, tmp_path)


def test_a_checkpoint_of_an_older_version_is_not_resumed(config, series, tmp_path):
    trainer(config(1), series, tmp_path).run()
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["network"] = state.pop("networks")["network"]
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(InputRefused, match="--init"):
        trainer(config(1), series, tmp_path)


def test_a_weights_file_describes_itself(config, small, series, tmp_path):
    trainer(config(1), series, tmp_path).run()
    folder = tmp_path / "model"
    with safe_open(folder / "weights.safetensors", "pt") as file:
        assert ModelConfig.model_validate_json(file.metadata()["config"]) == small
    (folder / "config.json").unlink()
    assert load_config(folder, ModelConfig) == small
