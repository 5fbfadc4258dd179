import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_rsna_inpaint.train.quality import MIN_BRAIN_MM2, slice_problem

Y, X = np.mgrid[-80:80, -80:80]
BRAIN = np.hypot(Y, X) < 60


def head(noise=5.0):
    hu = np.where(BRAIN, 32.0, np.where(np.hypot(Y, X) < 68, 1200, -1000))
    return hu + np.where(BRAIN, noise, 0) * np.random.default_rng(0).standard_normal(hu.shape)


def judged(hu, brain=BRAIN, pixel_mm=1.0):
    return slice_problem(hu.astype(np.int16), brain, pixel_mm)


def test_a_plain_slice_is_good():
    assert judged(head()) == ""


@given(radius=st.floats(1, 70), pixel_mm=st.sampled_from([0.5, 1.0, 2.0]))
def test_brain_area_is_measured_in_mm(radius, pixel_mm):
    brain = np.hypot(Y, X) < radius
    enough = brain.sum() * pixel_mm**2 >= MIN_BRAIN_MM2
    assert judged(np.full(brain.shape, 32.0), brain, pixel_mm) == ("" if enough else "little brain")


@pytest.mark.parametrize(("width", "problem"), [(3, ""), (10, "metal")])
def test_metal_counts_wherever_it_lies(width, problem):
    hu = head()
    hu[:width, :width] = 3071
    assert judged(hu) == problem


@pytest.mark.parametrize(("share", "problem"), [(0.02, ""), (0.1, "streaks")])
def test_dark_and_bright_bands_are_streaks(share, problem):
    hu = head()
    band = np.flatnonzero(BRAIN)[:: int(1 / share)]
    hu.flat[band[::2]] = -60
    hu.flat[band[1::2]] = 160
    assert judged(hu) == problem


@pytest.mark.parametrize(("noise", "problem"), [(7.0, ""), (14.0, "noise")])
def test_noise_is_measured_away_from_the_border(noise, problem):
    assert judged(head(noise)) == problem
