import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint.train.holes import random_hole

Y, X = np.mgrid[:96, :80]
BRAIN = (Y - 45) ** 2 / 40**2 + (X - 40) ** 2 / 30**2 < 1


@given(seed=st.integers(0, 2**31))
@settings(max_examples=200, deadline=None)
def test_holes_lie_in_the_brain_and_are_never_empty(seed):
    hole = random_hole(BRAIN, np.random.default_rng(seed))
    assert hole.any()
    assert not (hole & ~BRAIN).any()


def test_every_part_of_the_brain_is_hidden_now_and_then():
    rng = np.random.default_rng(0)
    count = sum(random_hole(BRAIN, rng).astype(int) for _ in range(400))
    assert count[BRAIN].min() > 20
    assert count[BRAIN].max() < 250


def test_no_brain_gives_no_hole():
    assert not random_hole(np.zeros((32, 32), bool), np.random.default_rng(0)).any()
