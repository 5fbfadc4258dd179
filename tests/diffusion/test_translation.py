import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slice_models import TINY, TINY_CLASSIFIER, shaken

from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig, Label, LabelUNet
from napari_rsna_inpaint.diffusion.noisy_classifier import HEALTHY, NoisyClassifier, slice_logits
from napari_rsna_inpaint.diffusion.samplers import ddim, ddim_step
from napari_rsna_inpaint.diffusion.translation import (
    annealed,
    classifier_free,
    classifier_guided,
    ddim_invert,
    encoding_timesteps,
    log_probability_gradient,
    to_healthy,
)

CONFIG = CfgModelConfig(network=TINY)
SCHEDULE = CONFIG.schedule()
NETWORK = shaken(LabelUNet(TINY))
CLASSIFIER = shaken(NoisyClassifier(TINY_CLASSIFIER), std=0.3)
BRAIN = torch.ones(2, 1, 16, 16)

seeds = st.integers(0, 10_000)
levels = st.integers(50, 600)


def slices(seed):
    """Slices in network units with everything that HU of a window can be."""
    hu = torch.empty(2, 1, 16, 16).uniform_(
        *CONFIG.hu_window, generator=torch.Generator().manual_seed(seed)
    )
    return CONFIG.encode(hu)


def predict(label):
    @torch.inference_mode()
    def v(x, t):
        times = torch.full((len(x),), t)
        return NETWORK(x, BRAIN[: len(x)], times, torch.full_like(times, label))

    return v


def gradient(x, t):
    times = torch.full((len(x),), t)
    return log_probability_gradient(
        lambda leaf: slice_logits(CLASSIFIER(leaf, BRAIN, times), BRAIN), x, HEALTHY
    )


def furthest_hu(one, other):
    return float((one - other).abs().max()) * CONFIG.hu_scale


@settings(max_examples=15, deadline=None)
@given(seeds, levels, st.integers(4, 12))
def test_without_guidance_a_slice_comes_back_to_less_than_1_hu(seed, level, steps):
    x = slices(seed)
    timesteps = encoding_timesteps(SCHEDULE, level, steps)
    null = predict(Label.NULL)
    noisy = ddim_invert(null, x, SCHEDULE, timesteps, refinements=4)[0]
    assert furthest_hu(ddim(null, noisy, SCHEDULE, timesteps), x) < 1


def test_refinements_make_the_way_back_more_exact():
    x, null = slices(0), predict(Label.NULL)
    timesteps = encoding_timesteps(SCHEDULE, 400, 4)

    def error(refinements):
        noisy = ddim_invert(null, x, SCHEDULE, timesteps, refinements=refinements)[0]
        return furthest_hu(ddim(null, noisy, SCHEDULE, timesteps), x)

    errors = [error(n) for n in (0, 1, 3, 6)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(0, 997), st.integers(1, 500))
def test_a_step_of_ddim_is_the_rotation_that_the_inversion_undoes(seed, t_next, more):
    """Whatever the prediction is, as long as it is the same."""
    x = slices(seed)
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1))
    t = min(t_next + more, len(SCHEDULE) - 2)
    if t == t_next:
        return
    down = ddim_step(x, v, SCHEDULE, t, t_next, 0.0, None)
    up = ddim_invert(lambda *_: v, down, _Shifted(t_next), [t], refinements=0)[0]
    assert torch.allclose(up, x, atol=2e-4)


class _Shifted:
    """The schedule, with another level in place of the clean image."""

    def __init__(self, clean):
        self._clean = clean

    def alpha_sigma(self, t):
        return SCHEDULE.alpha_sigma(self._clean if t < 0 else t)


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(0, 999))
def test_no_extra_weight_is_the_conditional_prediction(seed, t):
    x, healthy, null = slices(seed), predict(Label.HEALTHY), predict(Label.NULL)
    assert torch.equal(classifier_free(healthy, null, 0.0)(x, t), healthy(x, t))
    assert torch.allclose(classifier_free(healthy, null, -1.0)(x, t), null(x, t), atol=1e-5)
    scale = 3.0  # of the other convention
    guided = null(x, t) + scale * (healthy(x, t) - null(x, t))
    assert torch.allclose(classifier_free(healthy, null, scale - 1)(x, t), guided, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(seeds, levels)
def test_guidance_of_scale_0_is_no_guidance(seed, level):
    x, null = slices(seed), predict(Label.NULL)
    timesteps = encoding_timesteps(SCHEDULE, level, 3)
    guided = classifier_guided(null, gradient, SCHEDULE, lambda t: 0.0)
    noisy = ddim_invert(null, x, SCHEDULE, timesteps)[0]
    unguided = ddim(null, noisy, SCHEDULE, timesteps)
    same = to_healthy(null, guided, x, SCHEDULE, timesteps, refinements=2, exact=False)
    assert torch.equal(same, unguided)


@settings(max_examples=10, deadline=None)
@given(seeds, levels, st.integers(1, 5))
def test_what_the_way_back_misses_is_added_where_the_steps_are_few(seed, level, steps):
    x, null = slices(seed), predict(Label.NULL)
    timesteps = encoding_timesteps(SCHEDULE, level, steps)
    assert furthest_hu(to_healthy(null, null, x, SCHEDULE, timesteps), x) < 0.01


def test_the_classifier_calls_a_slice_healthier_after_guidance():
    x, null = slices(3), predict(Label.NULL)
    timesteps = encoding_timesteps(SCHEDULE, 300, 6)

    def log_odds(scale):
        guided = classifier_guided(null, gradient, SCHEDULE, annealed(scale, 300, 0.25))
        done = to_healthy(null, guided, x, SCHEDULE, timesteps)
        evidence = CLASSIFIER(done, BRAIN, torch.zeros(2))
        return slice_logits(evidence, BRAIN).log_softmax(1)[:, HEALTHY]

    assert (log_odds(30.0) > log_odds(0.0)).all()


def test_guidance_of_eps_and_of_v_are_the_same():
    x, t, strength = slices(5), 200, 10.0
    alpha, sigma = SCHEDULE.alpha_sigma(t)
    v = predict(Label.NULL)(x, t)
    guided = classifier_guided(predict(Label.NULL), gradient, SCHEDULE, lambda t: strength)(x, t)
    eps, eps_guided = alpha * v + sigma * x, alpha * guided + sigma * x
    assert torch.allclose(eps_guided, eps - strength * sigma * gradient(x, t), atol=1e-5)


def test_guidance_fades_out_before_the_clean_image():
    strength = annealed(100.0, 400, 0.25)
    assert strength(399) == strength(100) == 100.0
    assert strength(50) == 50.0
    assert strength(0) == 0.0
    assert annealed(100.0, 400, 0.0)(0) == 100.0


def test_gradients_of_one_image_do_not_depend_on_the_others():
    x = slices(7)
    both = gradient(x, 100)
    times = torch.full((1,), 100)
    for k in range(2):
        alone = log_probability_gradient(
            lambda leaf: slice_logits(CLASSIFIER(leaf, BRAIN[:1], times), BRAIN[:1]),
            x[k : k + 1],
            HEALTHY,
        )
        assert torch.allclose(both[k : k + 1], alone, atol=1e-6)


def test_labels_change_the_prediction():
    x = slices(9)
    seen = [predict(label)(x, 500) for label in Label]
    assert not torch.allclose(seen[0], seen[1])
    assert not torch.allclose(seen[1], seen[2])


def test_encoding_ends_at_the_level_and_never_in_pure_noise():
    assert encoding_timesteps(SCHEDULE, 500, 500) == list(range(499, -1, -1))
    assert encoding_timesteps(SCHEDULE, 400, 4) == [399, 299, 199, 99]
    for level, steps in ((1000, 4), (10, 11), (10, 0)):
        with pytest.raises(ValueError, match="n_steps"):
            encoding_timesteps(SCHEDULE, level, steps)
