import itertools

import numpy as np
import pytest
import torch

from napari_rsna_inpaint.diffusion.model_folder import load_config, save_model
from napari_rsna_inpaint.errors import Cancelled, InputRefused, MemoryFull
from napari_rsna_inpaint.inpaint.completion_net import CompletionConfig, CompletionNet
from napari_rsna_inpaint.inpaint.critic_net import CriticConfig, CriticNet
from napari_rsna_inpaint.inpaint.plural import (
    PicardModelConfig,
    PluralCompleter,
    PluralJob,
    active_layers,
    load_completer,
)

NAMES = ("coarse.context1", "coarse.context3", "fine.context2")
SMALL = PicardModelConfig(
    network=CompletionConfig(
        widths=(8, 16), dilations=(1, 2, 4), dropout=0.5, dropout_layers=NAMES
    ),
    critic=CriticConfig(local_widths=(4, 8), whole_widths=(8, 8)),
)
CPU = torch.device("cpu")


def networks():
    torch.manual_seed(0)
    generator, critic = CompletionNet(SMALL.network), CriticNet(SMALL.critic)
    for stage in (generator.coarse, generator.fine):
        torch.nn.init.normal_(stage.head.weight, std=0.2)
    return generator, critic


def completer_of(**options):
    return PluralCompleter(*networks(), SMALL, CPU, **options)


@pytest.fixture
def jobs():
    rng = np.random.default_rng(0)
    made = []
    for n in range(3):
        image = rng.normal(35, 60, (24, 32)).astype(np.float32)
        hole = np.zeros(image.shape, bool)
        hole[4 + n : 15, 5:20] = True
        seeds = tuple(int(s) for s in rng.integers(1000, size=n + 2))
        made.append(PluralJob(image, hole, np.ones(image.shape, bool), seeds))
    return made


def test_completions_differ_in_the_hole_and_nowhere_else(jobs):
    for job, made in completer_of().complete(jobs):
        assert made.shape == (len(job.seeds), *job.image.shape)
        assert made.dtype == np.float32
        np.testing.assert_array_equal(
            made[:, ~job.hole], np.stack([job.image[~job.hole]] * len(made))
        )
        low, high = SMALL.hu_window
        assert made[:, job.hole].min() >= low
        assert made[:, job.hole].max() <= high
        for a, b in itertools.pairwise(made):
            assert (a != b)[job.hole].mean() > 0.5


@pytest.mark.parametrize(
    ("stages", "expected"), [("both", NAMES), ("coarse", NAMES[:2]), ("fine", NAMES[2:])]
)
def test_dropout_is_active_in_the_named_layers_of_the_network(jobs, stages, expected):
    """Seen where it acts: in the layers that reach the network with channels missing."""
    generator, critic = networks()
    completer = PluralCompleter(generator, critic, SMALL, CPU, stages=stages)
    used = {}
    generator.register_forward_pre_hook(lambda _, arguments: used.update(arguments[3]))
    list(completer.complete(jobs))
    assert completer.layers == tuple(used) == expected
    assert all((mask == 0).any() and (mask > 1).any() for mask in used.values())


def test_a_stage_that_could_not_vary_is_refused():
    config = SMALL.network.model_copy(update={"dropout_layers": NAMES[:2]})
    assert active_layers(config, "coarse") == NAMES[:2]
    for stages in ("both", "fine"):
        with pytest.raises(ValueError, match="no layer of the fine stage has dropout"):
            active_layers(config, stages)


def test_a_completion_depends_on_its_seed_alone(jobs):
    together = {id(job): made for job, made in completer_of().complete(jobs)}
    for job in reversed(jobs):
        for n, seed in enumerate(job.seeds):
            alone = PluralJob(job.image, job.hole, job.brain, (seed,))
            ((_, made),) = completer_of(batch_size=3).complete([alone])
            np.testing.assert_array_equal(made[0], together[id(job)][n])


def test_what_lies_in_the_hole_is_not_looked_at(jobs):
    job = jobs[0]
    other = PluralJob(np.where(job.hole, np.float32(90), job.image), job.hole, job.brain, job.seeds)
    (_, a), (_, b) = completer_of().complete([job, other])
    np.testing.assert_array_equal(a[:, job.hole], b[:, job.hole])


def test_progress_counts_every_completion_once_and_can_be_cancelled(jobs):
    counts = []
    list(completer_of().complete(jobs, on_evaluations=counts.append))
    assert sum(counts) == sum(len(job.seeds) for job in jobs)
    stopped = completer_of().complete(jobs, cancelled=lambda: len(asked) > 1 or asked.append(1))
    asked = []
    assert next(stopped)[0] is jobs[0]
    asked.append(1)
    with pytest.raises(Cancelled):
        list(stopped)


def test_full_memory_is_told_as_such(jobs, monkeypatch):
    def full(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(CompletionNet, "forward", full)
    with pytest.raises(MemoryFull):
        list(completer_of().complete(jobs))


def test_features_do_not_depend_on_what_else_is_asked_for():
    patches = np.random.default_rng(0).normal(35, 20, (19, 16, 16)).astype(np.float32)
    completer = completer_of()
    together = completer.features(patches)
    assert together.shape == (19, 8 * 4 * 4)
    for n in (0, 17):
        np.testing.assert_array_equal(completer.features(patches[n : n + 1])[0], together[n])


def test_a_saved_model_completes_as_before(jobs, tmp_path):
    generator, critic = networks()
    save_model(tmp_path / "model", {"generator": generator, "critic": critic}, SMALL)
    config = load_config(tmp_path / "model", PicardModelConfig)
    loaded = load_completer(tmp_path / "model", config, CPU)
    for (_, a), (_, b) in zip(loaded.complete(jobs), completer_of().complete(jobs), strict=True):
        np.testing.assert_array_equal(a, b)
    text = (tmp_path / "model" / "config.json").read_text()
    (tmp_path / "model" / "config.json").write_text(text.replace("fine.context2", "fine.conv3"))
    with pytest.raises(InputRefused):
        load_config(tmp_path / "model", PicardModelConfig)
