"""The reference protocol hides what the published system hides."""

from collections import Counter

import numpy as np
import pytest

from napari_rsna_inpaint.detection.grid import hole_tiling, protocol_holes
from napari_rsna_inpaint.diffusion.schedule import cosine_schedule, trailing_timesteps
from napari_rsna_inpaint.inpaint.engine import evaluations_per_job
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS

REFERENCE = PROTOCOLS["reference"]
PIXEL_MM = 0.9


def test_a_slice_takes_144_runs_of_50_evaluations():
    """4 sizes, 4 offsets of half a size, and every third square in both directions."""
    holes = list(protocol_holes(np.ones((256, 256), bool), REFERENCE, PIXEL_MM))
    assert [hole.number for hole in holes] == list(range(144))
    assert {hole_tiling(hole, REFERENCE, PIXEL_MM)[0] for hole in holes} == {8, 16, 32, 64}
    assert evaluations_per_job(REFERENCE.sampling) == 50
    assert REFERENCE.samples == 1
    for side in (8, 16, 32, 64):
        tilings = [hole_tiling(hole, REFERENCE, PIXEL_MM) for hole in holes]
        offsets = Counter(offset for one, offset in tilings if one == side)
        half = side // 2
        assert offsets == {(0, 0): 9, (0, half): 9, (half, 0): 9, (half, half): 9}


@pytest.mark.parametrize("radius", [100, 9])
def test_every_pixel_of_the_brain_is_hidden_once_for_every_size_and_offset(radius):
    y, x = np.mgrid[:256, :256]
    brain = (y - 130) ** 2 + (x - 110) ** 2 < radius**2
    covered: dict[tuple, np.ndarray] = {}
    for hole in protocol_holes(brain, REFERENCE, PIXEL_MM):
        key = hole_tiling(hole, REFERENCE, PIXEL_MM)
        covered[key] = covered.get(key, 0) + hole.mask.astype(int)
        assert hole.mask.any()
    assert len(covered) == 16
    for count in covered.values():
        np.testing.assert_array_equal(count, brain.astype(int))


def test_squares_of_a_run_are_two_squares_apart():
    for hole in protocol_holes(np.ones((256, 256), bool), REFERENCE, PIXEL_MM):
        side, (dy, dx) = hole_tiling(hole, REFERENCE, PIXEL_MM)
        tile = hole.mask[dy:, dx:][::side, ::side]
        rows, columns = np.flatnonzero(tile.any(1)), np.flatnonzero(tile.any(0))
        assert (np.diff(rows) == 3).all()
        assert (np.diff(columns) == 3).all()


def test_sampling_starts_at_pure_noise():
    """The published system starts at 980 of 1000, though its noise at 999 is pure."""
    sampling = REFERENCE.sampling
    assert (sampling.method, sampling.spacing, sampling.eta) == ("ddim", "trailing", 0.0)
    timesteps = trailing_timesteps(cosine_schedule(), sampling.steps)
    assert timesteps[0] == 999
    assert set(np.diff(timesteps)) == {-20}
