import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion

from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.train.batches import batches
from napari_rsna_inpaint.train.dataset import HealthySlices, _jitter_hu
from napari_rsna_inpaint.train.grid import GridMethod
from napari_rsna_inpaint.train.lesion_contrast import join
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import TrainConfig
from napari_rsna_inpaint.train.split import split


def test_examples_hide_the_truth(series, small):
    """Neither the slice nor its cut neighbours show what is in the hole."""
    data = HealthySlices(series, small, (96, 80))
    rng = np.random.default_rng(0)
    examples = [data.example(i % len(data), rng, augment=True) for i in range(32)]
    condition = join([condition for condition, _ in examples])
    hu = torch.cat([hu for _, hu in examples])
    inputs = condition.network_input(torch.full_like(hu, 5.0))
    hole = condition.hole[:, 0] > 0
    assert (inputs[:, 0][hole] == 5.0).all()
    assert (inputs[:, 1][hole] == 0.0).all()
    torch.testing.assert_close(inputs[:, 0][~hole], condition.image[:, 0][~hole])
    torch.testing.assert_close(condition.image, small.encode(hu))
    kept = [bool((n[h[None]] != 0).any()) for n, h in zip(condition.below, hole, strict=True)]
    assert 0 < sum(kept) < len(kept) / 2


def test_the_neighbour_of_an_end_slice_is_empty(series, small):
    data = HealthySlices(series[:1], small, (96, 80))
    first = data.triplet(0)
    assert first.present == (False, True)
    condition = first.condition(np.zeros((96, 80), bool), small)
    assert not condition.below.any()
    assert condition.above.any()


def test_an_augmented_slice_keeps_its_hu(series, small):
    """Rotation, zoom and shift move tissue about; they do not change what it is."""
    one = series[0]
    data = HealthySlices([one], small, (96, 80))
    deep = [binary_erosion(b, iterations=6) for b in (one.brain[2], data.triplet(2).brain)]
    plain = data.triplet(2).hu[1].numpy()[deep[1]]
    assert np.median(plain) == pytest.approx(np.median(one.hu[2][deep[0]]), abs=0.5)
    medians = []
    for seed in range(30):
        moved = data.triplet(2, np.random.default_rng(seed))
        inside = binary_erosion(moved.brain, iterations=6)
        medians.append(np.median(moved.hu[1].numpy()[inside]) - np.median(plain))
    # the jitter of HU between scanners: 1.5 HU and 2 %
    assert abs(np.mean(medians)) < 1.0
    assert 0.8 < np.std(medians) < 3.0


def test_added_noise_is_correlated_like_that_of_a_scan():
    flat = torch.zeros(3, 200, 200)
    for seed in range(20):
        noise = _jitter_hu(flat, 0.5, np.random.default_rng(seed))[1].numpy()
        if noise.std() > 0.1:
            break
    noise = noise - noise.mean()
    # the scans measured: 0.2 after removal of the anatomy, which costs some correlation
    assert 0.15 < (noise[:, 1:] * noise[:, :-1]).mean() / noise.var() < 0.35


def test_no_brain_at_all_is_refused(small):
    nothing = np.zeros((2, 8, 8), np.int16)
    empty = PreparedSeries(
        "empty", nothing, nothing > 0, np.array([], int), True, np.zeros(2, np.int8), "nobody"
    )
    with pytest.raises(InputRefused, match="No slice"):
        HealthySlices([empty], small, (16, 16))


def test_condition_has_one_channel_for_everything_the_network_is_told(small):
    planes = [torch.full((1, 1, 4, 4), float(i)) for i in range(5)]
    inputs = Condition(*planes).network_input(torch.full((1, 1, 4, 4), 9.0))
    assert inputs.shape == (1, small.network.in_channels, 4, 4)
    assert inputs[0, :, 0, 0].tolist() == [9.0, 0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.fixture(scope="module")
def loader(series, small):
    config = TrainConfig(model=small, shape=(32, 32), batch_size=4, steps=4)
    method = GridMethod(config, series, [])
    return lambda first_step=0, **options: list(batches(method, first_step, **options))


def assert_equal(one, other):
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        for name in a:
            assert torch.equal(a[name], b[name]), name


def test_batches_do_not_depend_on_the_number_of_workers(loader):
    assert_equal(loader(), loader(workers=2))


def test_batches_of_a_resumed_run_are_those_it_would_have_seen(loader):
    assert_equal(loader()[2:], loader(first_step=2))


def test_processes_share_out_the_batch(loader):
    halves = [loader(rank=rank, processes=2) for rank in (0, 1)]
    joined = [
        {name: torch.cat([a[name], b[name]]) for name in a} for a, b in zip(*halves, strict=True)
    ]
    assert_equal(loader(), joined)


def named(name, patient, healthy=True):
    hu = np.zeros((1, 4, 4), np.int16)
    return PreparedSeries(name, hu, hu > 0, np.array([0]), healthy, np.zeros(1, np.int8), patient)


def test_patients_kept_for_validation_are_not_trained_on():
    many = [named("a", "1"), named("b", "1"), named("c", "2"), named("d", "3", healthy=False)]
    training, validation = split(many, ["a"])
    assert [one.name for one in training] == ["c"]
    assert [one.name for one in validation] == ["a"]
    with pytest.raises(InputRefused, match="No series is named 'x'"):
        split(many, ["x", "a"])
    with pytest.raises(InputRefused, match="not known to be healthy"):
        split(many, ["d"])
    with pytest.raises(InputRefused, match="no healthy series"):
        split(many, ["a", "c"])


@given(st.lists(st.tuples(st.sampled_from("pqrs"), st.booleans(), st.booleans()), max_size=8))
@settings(max_examples=100, deadline=None)
def test_no_patient_is_on_both_sides(drawn):
    many = [named(str(i), patient, healthy) for i, (patient, healthy, _) in enumerate(drawn)]
    held = [str(i) for i, (_, healthy, keep) in enumerate(drawn) if keep and healthy]
    training, validation = split([*many, named("last", "z")], held)
    assert [one.name for one in validation] == held
    assert training[-1].name == "last"
    assert not {one.patient for one in training} & {one.patient for one in validation}
    assert all(one.healthy for one in training)
