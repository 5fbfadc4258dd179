import csv

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from picard_models import SMALL
from pydantic import ValidationError
from safetensors.torch import load_file

from napari_rsna_inpaint.diffusion.model_folder import find_model, load_config
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.inpaint.critic_net import CriticNet
from napari_rsna_inpaint.inpaint.plural import CRITIC, GENERATOR, PicardModelConfig, load_completer
from napari_rsna_inpaint.train.adversarial import critic_loss, deceiving_loss, views
from napari_rsna_inpaint.train.loop import Trainer
from napari_rsna_inpaint.train.picard import (
    PicardMethod,
    PicardTrainConfig,
    large_hole,
    patch_corners,
)


@pytest.fixture
def config():
    def make(steps: int, **options) -> PicardTrainConfig:
        plain = {
            "model": SMALL,
            "shape": (96, 80),
            "batch_size": 4,
            "steps": steps,
            "warmup_steps": 5,
            "ema_decay": 0.9,
            "validation_every": steps,
            "validation_slices": 4,
            "steps_alone": steps // 2,
            "patch": 16,
            "patches": 2,
        }
        return PicardTrainConfig(**(plain | options))

    return make


def trainer(config, series, folder):
    return Trainer(config, series[:1], series[1:], folder, "cpu", method="picard")


def table(folder):
    with (folder / "log.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_training_lowers_the_error_on_another_head(config, series, tmp_path):
    settings = config(40, steps_alone=36, validation_every=2, learning_rate=5e-3)
    trainer(settings, series, tmp_path).run()
    rows = table(tmp_path)
    assert rows[-1]["healthy_mae_hu"] < 0.9 * rows[0]["healthy_mae_hu"]
    folder = find_model(tmp_path / "best", "picard")
    assert load_config(folder, PicardModelConfig) == SMALL
    load_completer(folder, SMALL, torch.device("cpu"))


def test_a_resumed_run_equals_an_uninterrupted_one(config, series, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = config(4, steps_alone=1)
    trainer(settings, series, whole).run()
    with pytest.raises(Cancelled):
        trainer(settings, series, parts).run(cancelled=lambda: True)
    trainer(settings, series, parts).run()
    expected = load_file(whole / "model" / "weights.safetensors")
    for key, value in load_file(parts / "model" / "weights.safetensors").items():
        assert torch.equal(value, expected[key]), key
    assert {key.split(".")[0] for key in expected} == {GENERATOR, CRITIC}


def batch_of(method, n=2):
    return torch.utils.data.default_collate([method.example(k) for k in range(n)])


def test_the_critic_learns_as_often_as_configured_and_only_after_its_start(config, series):
    method = PicardMethod(config(10, steps_alone=3, critic_steps=5), series[:1], [])
    networks = method.networks()
    for step, expected in ((2, [GENERATOR]), (3, [CRITIC] * 5 + [GENERATOR])):
        losses = list(method.losses(networks, batch_of(method), step))
        assert [loss.network for loss in losses] == expected
        assert all(torch.isfinite(loss.total) and loss.weight > 0 for loss in losses)


def test_both_stages_and_the_critic_get_gradients(config, series):
    method = PicardMethod(config(10, steps_alone=0), series[:1], [])
    networks = method.networks()
    for network in networks.values():
        for name, parameter in network.named_parameters():
            if name.endswith("head.weight"):
                torch.nn.init.normal_(parameter, std=0.1)
    for loss in method.losses(networks, batch_of(method), 0):
        network = networks[loss.network]
        network.zero_grad()
        (loss.total / loss.weight).backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            # a score is compared with a score, so its offset does not count
            if not name.endswith("score.bias"):
                assert parameter.grad.abs().max() > 0, name


def test_examples_are_a_function_of_their_number(config, series):
    first, second = (PicardMethod(config(10), series[:1], []) for _ in range(2))
    a, b, other = first.example(5), second.example(5), first.example(6)
    for name, value in a.items():
        assert torch.equal(value, b[name])
    assert not torch.equal(a["image"], other["image"])
    hole = a["hole"] > 0
    assert hole.any()
    assert not (hole & (a["brain"] == 0)).any()


def test_deep_pixels_count_less(config, series):
    method = PicardMethod(config(10, discount=0.5), series[:1], [])
    example = method.example(1)
    counts, hole = example["counts"], example["hole"] > 0
    assert (counts[~hole] == 0).all()
    assert counts[hole].max() == 0.5  # next to what is known
    assert counts[hole].min() < 0.5


def test_the_penalty_of_a_critic_of_slope_one_is_nothing():
    """Scores that rise by 1 along the hole: the distance of Wasserstein is all that is left."""

    def critic(patches, slices):
        return patches.flatten(1).sum(1), slices.flatten(1).sum(1)

    healthy, hole = torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    hole[:, 0, 3, 3] = 1
    completed = healthy + 5 * hole
    corners = torch.full((2, 1, 2), 2)
    loss = critic_loss(
        critic,
        *(views(one, corners, 4) for one in (healthy, completed, hole)),
        penalty=10.0,
        generator=torch.Generator().manual_seed(0),
    )
    assert float(loss) == pytest.approx(10.0)  # 5 for patches and 5 for slices
    shown = [views(one, corners, 4) for one in (completed, healthy)]
    assert float(deceiving_loss(critic, *shown)) == pytest.approx(-10.0)


def test_the_penalty_drives_the_slope_of_a_critic_to_one():
    torch.manual_seed(0)
    critic = CriticNet(SMALL.critic)
    healthy, hole = torch.randn(4, 1, 32, 32), torch.ones(4, 1, 32, 32)
    corners = torch.full((4, 2, 2), 8)
    shown = [views(one, corners, 16) for one in (healthy, healthy.flip(0), hole)]
    optimizer = torch.optim.Adam(critic.parameters(), 5e-3)
    values = []
    for step in range(60):
        generator = torch.Generator().manual_seed(step)
        loss = critic_loss(critic, *shown, penalty=10.0, generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss))
    assert np.mean(values[-5:]) < 0.2 * values[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(16, 60), st.integers(16, 60))
def test_patches_lie_in_the_image_and_meet_the_hole(seed, height, width):
    rng = np.random.default_rng(seed)
    brain = rng.random((height, width)) < 0.5
    brain[rng.integers(height), rng.integers(width)] = True
    hole = large_hole(brain, 4.0, rng)
    assert hole.any()
    assert not (hole & ~brain).any()
    for y, x in patch_corners(hole, 16, (3, 2), rng).reshape(-1, 2):
        assert 0 <= y <= height - 16
        assert 0 <= x <= width - 16
        assert hole[y : y + 16, x : x + 16].any()


def test_a_precision_that_the_penalty_does_not_bear_is_refused(config):
    with pytest.raises(ValidationError, match="32-true"):
        config(10, precision="bf16-mixed")
    with pytest.raises(ValidationError, match="patch"):
        config(10, patch=81)


def test_figures_and_pictures(config, series):
    method = PicardMethod(config(10), series[:1], series[1:])
    networks = method.networks()
    figures = method.figures(networks)
    assert set(figures) == {"healthy_mae_hu", "spread_hu", "lesion_contrast", "score"}
    assert figures["healthy_mae_hu"] > 0
    first, second = method.pictures(networks)[:2]
    np.testing.assert_array_equal(first[0], second[0])
    unknown = PicardMethod(config(10), series[:1], [])
    assert np.isnan(list(unknown.figures(networks).values())).all()
    assert unknown.pictures(networks) == []
