import csv

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_rsna_inpaint.diffusion.model import Condition, ModelConfig, load_denoiser
from napari_rsna_inpaint.diffusion.unet import UNetConfig
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.io.write import write_nifti
from napari_rsna_inpaint.train import prepare as preparation
from napari_rsna_inpaint.train.dataset import HealthySlices
from napari_rsna_inpaint.train.loop import TrainConfig, Trainer
from napari_rsna_inpaint.train.prepare import PreparedSeries, prepare
from napari_rsna_inpaint.train.sources import find_series

SMALL = ModelConfig(network=UNetConfig(widths=(16, 32), groups=4, time_channels=16), pixel_mm=2.0)


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> list[PreparedSeries]:
    cache = tmp_path_factory.mktemp("cache")
    prepared = []
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp(f"scan{seed}")
        volume = head_phantom(seed=seed, shape=(5, 128, 128), spacing=(5.0, 1.6, 1.6)).volume
        write_nifti(folder / "scan.nii.gz", volume.hu, volume)
        one = prepare(folder / "scan.nii.gz", SMALL, cache)
        assert one is not None
        prepared.append(one)
    return prepared


def config(steps: int, **options) -> TrainConfig:
    return TrainConfig(
        model=SMALL,
        shape=(96, 80),
        batch_size=4,
        steps=steps,
        warmup_steps=5,
        learning_rate=5e-3,
        ema_decay=0.9,
        validation_every=options.pop("validation_every", steps),
        **options,
    )


def trainer(config, series, folder):
    return Trainer(config, series[:1], series[1:], folder, "cpu")


def test_training_lowers_the_error_on_another_head(series, tmp_path):
    trainer(config(40, validation_every=1), series, tmp_path).run()
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 41))
    errors = [float(row["healthy_mae_hu"]) for row in rows]
    assert errors[-1] < 0.8 * errors[0]
    assert load_denoiser(tmp_path / "model", device="cpu").config == SMALL


def test_a_resumed_run_equals_an_uninterrupted_one(series, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trainer(config(6), series, whole).run()
    steps = []
    stopped = trainer(config(6), series, parts)
    with pytest.raises(Cancelled):
        stopped.run(cancelled=lambda: steps.append(1) or len(steps) == 3)
    resumed = trainer(config(6), series, parts)
    assert resumed.step == 3
    resumed.run()
    expected = load_file(whole / "model" / "weights.safetensors")
    for name, value in load_file(parts / "model" / "weights.safetensors").items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=1e-5)


def test_a_run_with_another_network_is_not_resumed(series, tmp_path):
    trainer(config(1), series, tmp_path).run()
    other = SMALL.model_copy(update={"network": UNetConfig(widths=(8, 16), groups=4)})
    with pytest.raises(InputRefused, match="another model configuration"):
        trainer(config(1).model_copy(update={"model": other}), series, tmp_path)


def test_a_damaged_checkpoint_says_what_to_do(series, tmp_path):
    trainer(config(1), series, tmp_path).run()
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(InputRefused, match="remove it"):
        trainer(config(1), series, tmp_path)


def test_examples_hide_the_truth(series):
    """Neither the slice nor its cut neighbours show what is in the hole."""
    data = HealthySlices(series, SMALL, (96, 80))
    condition, hu = data.batch(16, np.random.default_rng(0))
    x_t = torch.full_like(hu, 5.0)
    inputs = condition.network_input(x_t)
    hole = condition.hole[:, 0] > 0
    assert (inputs[:, 0][hole] == 5.0).all()
    assert (inputs[:, 1][hole] == 0.0).all()
    torch.testing.assert_close(inputs[:, 0][~hole], condition.image[:, 0][~hole])
    torch.testing.assert_close(condition.image, SMALL.encode(hu))
    kept = [bool((n[h[None]] != 0).any()) for n, h in zip(condition.below, hole, strict=True)]
    assert 0 < sum(kept) < len(kept) / 2


def test_the_neighbour_of_an_end_slice_is_empty(series):
    data = HealthySlices(series[:1], SMALL, (96, 80))
    condition, _ = data.examples([0], np.random.default_rng(0), augment=False)
    assert not condition.below.any()


def test_prepared_series_come_back_from_the_cache(series, tmp_path, monkeypatch):
    volume = head_phantom(seed=3, shape=(3, 96, 96), spacing=(5.0, 2.0, 2.0)).volume
    path = tmp_path / "scan.nii.gz"
    write_nifti(path, volume.hu, volume)
    first = prepare(path, SMALL, tmp_path / "cache")
    monkeypatch.setattr(preparation, "read", None)
    second = prepare(path, SMALL, tmp_path / "cache")
    np.testing.assert_array_equal(first.hu, second.hu)
    np.testing.assert_array_equal(first.brain, second.brain)


def test_what_cannot_be_read_is_left_out(tmp_path, caplog):
    (tmp_path / "notes.txt").write_text("hello")
    assert prepare(tmp_path, SMALL, tmp_path / "cache") is None
    assert "left out" in caplog.text


def test_series_folders_and_loose_files(tmp_path):
    for name in ("b", "a"):
        (tmp_path / "many" / name).mkdir(parents=True)
    (tmp_path / "single").mkdir()
    for name in ("x.dcm", "labels.tsv", ".DS_Store", "y.nii.gz"):
        (tmp_path / "single" / name).touch()
    found = find_series([tmp_path / "many", tmp_path / "single"])
    assert [path.name for path in found] == ["a", "b", "x.dcm", "y.nii.gz"]


def test_no_brain_at_all_is_refused():
    empty = PreparedSeries(
        "empty",
        np.zeros((2, 8, 8), np.int16),
        np.zeros((2, 8, 8), bool),
        np.array([], int),
        healthy=True,
        labels=np.zeros(2, np.int8),
        patient="p",
    )
    with pytest.raises(InputRefused, match="No slice"):
        HealthySlices([empty], SMALL, (16, 16))


def test_condition_has_one_channel_for_everything_the_network_is_told():
    planes = [torch.full((1, 1, 4, 4), float(i)) for i in range(5)]
    inputs = Condition(*planes).network_input(torch.full((1, 1, 4, 4), 9.0))
    assert inputs.shape == (1, SMALL.network.in_channels, 4, 4)
    assert inputs[0, :, 0, 0].tolist() == [9.0, 0.0, 1.0, 2.0, 3.0, 4.0]
