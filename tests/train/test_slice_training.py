"""Training methods of whole slices: cfg and classifier-guidance."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from slice_models import TINY, TINY_CLASSIFIER, shaken
from torch.utils.data import default_collate

from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig, Label, LabelUNet
from napari_rsna_inpaint.diffusion.model_folder import save_model
from napari_rsna_inpaint.diffusion.noisy_classifier import BLEED, HEALTHY, GuidedModelConfig
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.train.cfg import NETWORK, CfgMethod, CfgTrainConfig
from napari_rsna_inpaint.train.classifier_guidance import (
    CLASSIFIER,
    DENOISER,
    ClassifierGuidanceMethod,
    ClassifierGuidanceTrainConfig,
)
from napari_rsna_inpaint.train.labelled import LabelledSlices
from napari_rsna_inpaint.train.loop import Trainer

CFG = CfgModelConfig(network=TINY, pixel_mm=2.0)
GUIDED = GuidedModelConfig(network=TINY, classifier=TINY_CLASSIFIER, pixel_mm=2.0)
SMALL = {
    "shape": (64, 48),
    "batch_size": 4,
    "warmup_steps": 1,
    "validation_slices": 3,
    "validation_steps": 2,
    "precision": "32-true",
}


def cfg_config(**changes):
    return CfgTrainConfig(**{"model": CFG, **SMALL, **changes})


def guided_config(**changes):
    return ClassifierGuidanceTrainConfig(**{"model": GUIDED, **SMALL, **changes})


@pytest.fixture(scope="module")
def heads(series):
    """A healthy head, and one of which only the slice in the middle shows a bleed: all 77 HU."""
    healthy, other = series
    labels = np.zeros(len(other.hu), np.int8)
    labels[2] = 1
    hu = other.hu.copy()
    hu[2] = np.where(other.brain[2], 77, hu[2])
    return [healthy, dataclasses.replace(other, healthy=False, labels=labels, hu=hu)]


def examples(method, n):
    return default_collate([method.example(number) for number in range(n)])


def test_real_bleeds_come_from_slices_labelled_so(heads):
    slices = LabelledSlices(heads, CFG, (64, 48), bleed_share=1.0, painted_share=0.0)
    rng = np.random.default_rng(0)
    for _ in range(8):
        triplet, label, where = slices.example(rng)
        assert label == Label.BLEED
        assert where is None
        assert float(triplet.hu[1].numpy()[triplet.brain].mean()) > 70


@pytest.mark.parametrize("bleeding", [True, False])
def test_shares_of_bleeds(heads, bleeding):
    """Without any labelled bleed all of them are painted."""
    chosen = heads if bleeding else heads[:1]
    slices = LabelledSlices(chosen, CFG, (64, 48), bleed_share=0.25, painted_share=0.5)
    rng = np.random.default_rng(0)
    drawn = [slices.example(rng) for _ in range(200)]
    bleeds = [triplet for triplet, label, _ in drawn if label == Label.BLEED]
    for _, label, where in drawn:
        if where is not None:
            assert where.any() == (label == Label.BLEED)
    assert 0.15 < len(bleeds) / len(drawn) < 0.35
    real = [one for one in bleeds if float(one.hu[1].numpy()[one.brain].mean()) > 70]
    if bleeding:
        assert 0.3 < len(real) / len(bleeds) < 0.7
    else:
        assert len(real) < 0.1 * len(bleeds)


@pytest.mark.parametrize(
    ("kind", "config"),
    [(CfgMethod, cfg_config()), (ClassifierGuidanceMethod, guided_config())],
)
def test_an_example_is_a_function_of_its_number(kind, config, heads):
    method = kind(config, heads, [])
    first, again, other = (method.example(number) for number in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["noise"], other["noise"])


def test_labels_are_dropped_at_the_given_rate(heads):
    def labels(dropout):
        method = CfgMethod(cfg_config(label_dropout=dropout), heads, [])
        return examples(method, 200)["label"]

    assert not (labels(0.0) == Label.NULL).any()
    assert (labels(1.0) == Label.NULL).all()
    dropped = labels(0.1) == Label.NULL
    assert 0.05 < dropped.float().mean() < 0.17
    # nothing else about the examples changes
    assert torch.equal(labels(0.1)[~dropped], labels(0.0)[~dropped])


def test_a_dropped_label_is_the_null_label(heads):
    """The network cannot tell slices whose label was dropped from each other by it."""
    method = CfgMethod(cfg_config(label_dropout=1.0), heads, [])
    network = shaken(LabelUNet(TINY))
    batch = examples(method, 4)
    (dropped,) = method.losses({NETWORK: network}, batch, 0)
    null = {**batch, "label": torch.full_like(batch["label"], Label.NULL)}
    (told,) = method.losses({NETWORK: network}, null, 0)
    assert torch.equal(dropped.total, told.total)
    healthy = {**batch, "label": torch.full_like(batch["label"], Label.HEALTHY)}
    (other,) = method.losses({NETWORK: network}, healthy, 0)
    assert not torch.equal(dropped.total, other.total)


def test_the_loss_vanishes_for_the_true_v(heads):
    method = CfgMethod(cfg_config(), heads, [])
    batch = examples(method, 6)
    schedule = CFG.schedule()

    def truth(x_t, brain, t, label):
        pairs = [schedule.alpha_sigma(int(one)) for one in t]
        alpha, sigma = torch.tensor(pairs).view(-1, 2, 1, 1, 1).unbind(1)
        return alpha * batch["noise"] - sigma * batch["image"]

    (loss,) = method.losses({NETWORK: truth}, batch, 0)
    assert float(loss.total / loss.weight) < 1e-9


def test_class_weights_count_in_the_loss_of_the_classifier(heads):
    def loss(weight):
        method = ClassifierGuidanceMethod(guided_config(bleed_weight=weight), heads, [])
        networks = {name: shaken(network) for name, network in method.networks().items()}
        batch = examples(method, 6)
        assert set(batch["class"].tolist()) == {HEALTHY, BLEED}
        return next(method.losses(networks, batch, 0)), batch["class"]

    even, wanted = loss(1.0)
    heavy, _ = loss(3.0)
    n_bleeds = int((wanted == BLEED).sum())
    assert float(even.weight) == len(wanted)
    assert float(heavy.weight) == len(wanted) + 2 * n_bleeds
    assert float(heavy.total) > float(even.total)


def test_the_denoiser_learns_from_every_so_many_batches(heads):
    method = ClassifierGuidanceMethod(guided_config(denoiser_every=3), heads, [])
    networks, batch = method.networks(), examples(method, 2)
    learning = [[loss.network for loss in method.losses(networks, batch, n)] for n in range(4)]
    assert learning == [[CLASSIFIER, DENOISER], [CLASSIFIER], [CLASSIFIER], [CLASSIFIER, DENOISER]]


def test_the_classifier_learns_the_noise_that_it_is_asked_at(heads):
    method = ClassifierGuidanceMethod(guided_config(classifier_level=300), heads, [])
    assert int(examples(method, 60)["t_classified"].max()) < 300


def test_a_denoiser_of_cfg_is_taken_over(heads, tmp_path):
    given = shaken(LabelUNet(TINY))
    save_model(tmp_path / "cfg", given, CFG)
    method = ClassifierGuidanceMethod(guided_config(), heads, [])
    networks = method.networks()
    method.start_from(tmp_path / "cfg", networks)
    taken = networks[DENOISER].state_dict()
    for name, value in given.state_dict().items():
        assert torch.equal(taken[name], value)
    save_model(tmp_path / "finer", given, CFG.model_copy(update={"pixel_mm": 1.0}))
    with pytest.raises(InputRefused, match="another denoiser"):
        method.start_from(tmp_path / "finer", networks)


def test_validation_needs_healthy_slices(heads):
    method = ClassifierGuidanceMethod(guided_config(), heads, [])
    figures = method.figures(method.networks())
    assert set(figures) == {"classifier_auroc", "healthy_mae_hu", "lesion_contrast", "score"}
    assert all(math.isnan(value) for value in figures.values())
    assert method.pictures(method.networks()) == []


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (CfgMethod, cfg_config(steps=3, validation_every=3)),
        (ClassifierGuidanceMethod, guided_config(steps=3, validation_every=3)),
    ],
)
def test_a_short_run_ends_with_a_model_and_figures(kind, config, heads, series, tmp_path):
    method = kind(config, heads, series[:1])
    fresh = {name: network.state_dict() for name, network in method.networks().items()}
    Trainer(config, heads, series[:1], tmp_path, "cpu", method=kind.name).run()
    networks = method.networks()
    method.start_from(tmp_path / "model", networks)
    for name, network in networks.items():
        learned = network.state_dict()
        assert any(not torch.equal(learned[key], fresh[name][key]) for key in learned)
    figures = method.figures(networks)
    assert np.isfinite(list(figures.values())).all()
    assert figures["score"] == figures["lesion_contrast"]
    assert len(method.pictures(networks)) > 0
