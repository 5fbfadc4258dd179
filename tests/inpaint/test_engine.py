import numpy as np
import pytest

from napari_rsna_inpaint.diffusion.model import load_denoiser
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.inpaint.engine import (
    Job,
    SliceContext,
    complete,
    evaluations_per_job,
    job_seed,
)
from napari_rsna_inpaint.inpaint.protocols import Sampling

SAMPLINGS = [
    Sampling(),
    Sampling(method="ddim", steps=3, eta=0.5),
    Sampling(method="dpm++", steps=4, spacing="log_snr"),
    Sampling(method="repaint", steps=6, jump_length=2, n_resample=2),
    Sampling(method="ddim_resample", steps=4, jump_length=2, n_resample=1),
]


@pytest.fixture(scope="module")
def denoiser(tiny_model):
    return load_denoiser(tiny_model, device="cpu")


def make_jobs(n: int = 7) -> list[Job]:
    rng = np.random.default_rng(0)
    jobs = []
    for z in range(n):
        planes = rng.normal(35, 8, (3, 32, 48)).astype(np.float32)
        hole = np.zeros((32, 48), bool)
        hole[8 + z : 16 + z, 10:26] = True
        brain = np.ones((32, 48), bool)
        below = planes[0] if z else None
        context = SliceContext(z, planes[1], brain, below, planes[2])
        jobs.append(Job(context, hole, job_seed(0, z, 0)))
    return jobs


def run(jobs, denoiser, sampling, **options):
    options.setdefault("batch_size", 3)
    done = complete(jobs, denoiser, sampling, **options)
    return {job.context.index: np.where(job.hole, hu, 0) for job, hu in done}


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=lambda s: s.method)
def test_result_depends_on_neither_batch_nor_order(denoiser, sampling):
    jobs = make_jobs()
    expected = run(jobs, denoiser, sampling)
    for other in (
        run(jobs, denoiser, sampling, batch_size=1),
        run(jobs[::-1], denoiser, sampling, batch_size=4),
        run(jobs[2:5], denoiser, sampling),
    ):
        for z, hu in other.items():
            np.testing.assert_array_equal(hu, expected[z])


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=lambda s: s.method)
def test_evaluations_are_counted_as_foretold(denoiser, sampling):
    counted = []
    run(make_jobs(), denoiser, sampling, on_evaluations=counted.append)
    assert sum(counted) == 7 * evaluations_per_job(sampling)


def test_what_is_hidden_cannot_influence_its_completion(denoiser):
    jobs = make_jobs(3)
    expected = run(jobs, denoiser, Sampling())
    for job in jobs:
        job.context.image[job.hole] = 90.0
        for plane in (job.context.below, job.context.above):
            if plane is not None:
                plane[job.hole] = 90.0
    for z, hu in run(jobs, denoiser, Sampling()).items():
        np.testing.assert_array_equal(hu, expected[z])


def test_neighbours_count_when_kept_and_only_then(denoiser):
    jobs = make_jobs(2)
    kept = run(jobs, denoiser, Sampling(), neighbours="keep")
    dropped = run(jobs, denoiser, Sampling(), neighbours="drop")
    for job in jobs:
        job.context.above[job.hole] += 30
    assert np.abs(run(jobs, denoiser, Sampling(), neighbours="keep")[1] - kept[1]).max() > 1e-3
    np.testing.assert_array_equal(run(jobs, denoiser, Sampling(), neighbours="drop")[1], dropped[1])


def test_another_seed_gives_another_sample(denoiser):
    sampling = Sampling(method="ddim", steps=3)
    jobs = make_jobs(1)
    other = [Job(jobs[0].context, jobs[0].hole, job_seed(1, 0, 0))]
    assert (run(jobs, denoiser, sampling)[0] != run(other, denoiser, sampling)[0]).any()


def test_cancel_stops_before_the_next_evaluation(denoiser):
    evaluated = []
    results = complete(
        make_jobs(),
        denoiser,
        Sampling(),
        batch_size=2,
        on_evaluations=evaluated.append,
        cancelled=lambda: len(evaluated) >= 2,
    )
    finished = []

    def collect():
        for job, _ in results:
            finished.append(job.context.index)

    with pytest.raises(Cancelled):
        collect()
    assert finished == [0, 1, 2, 3]
    assert len(evaluated) == 2
