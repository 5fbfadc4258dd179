from __future__ import annotations

import numpy as np
import pytest

from napari_rsna_inpaint.roi import area_pixels, inside, roi_values

PLANE = np.arange(200.0).reshape(10, 20)


def box(top: float, left: float, bottom: float, right: float) -> np.ndarray:
    return np.array([[top, left], [bottom, left], [bottom, right], [top, right]])


def test_a_rectangle_takes_the_pixels_whose_centres_lie_inside() -> None:
    corners = box(1.5, 2.5, 4.5, 7.5)
    values = roi_values(PLANE, "rectangle", corners, 0.25)
    expected = PLANE[2:5, 3:8]
    assert values is not None
    assert values.mean == pytest.approx(expected.mean())
    assert values.sd == pytest.approx(expected.std())
    assert (values.minimum, values.maximum) == (expected.min(), expected.max())
    assert values.area_mm2 == pytest.approx(3 * 5 * 0.25)


def test_an_ellipse_has_its_area_and_its_pixels() -> None:
    corners = box(10, 20, 70, 60)
    assert area_pixels("ellipse", corners) == pytest.approx(np.pi * 30 * 20)
    mask = inside("ellipse", corners, (100, 100))
    assert mask.sum() == pytest.approx(np.pi * 30 * 20, rel=0.01)
    assert mask[40, 40]
    assert mask[11, 40]
    assert not mask[13, 23]


def test_a_turned_ellipse_is_turned() -> None:
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = box(-40, -10, 40, 10) @ turn.T + 50
    mask = inside("ellipse", corners, (100, 100))
    assert mask.sum() == pytest.approx(np.pi * 40 * 10, rel=0.02)
    tip = np.round(turn @ [38, 0] + 50).astype(int)
    assert mask[tuple(tip)]
    assert not mask[50 + 38, 50]


def test_a_polygon_that_runs_back_counts_once() -> None:
    corners = np.array([[0, 0], [0, 8], [8, 8], [8, 4], [4, 4], [4, 0]], float)
    assert area_pixels("polygon", corners) == pytest.approx(48)
    assert area_pixels("polygon", corners[::-1]) == pytest.approx(48)


@pytest.mark.parametrize("kind", ["rectangle", "ellipse"])
def test_nothing_is_measured_between_pixels_or_outside(kind: str) -> None:
    assert roi_values(PLANE, kind, box(1.2, 1.2, 1.4, 1.4), 1.0) is None  # type: ignore[arg-type]
    assert roi_values(PLANE, kind, box(30, 30, 40, 40), 1.0) is None  # type: ignore[arg-type]


def test_the_part_of_an_outline_within_the_plane_is_measured() -> None:
    values = roi_values(PLANE, "rectangle", box(-5.5, -5.5, 1.5, 2.5), 1.0)
    assert values is not None
    assert values.mean == pytest.approx(PLANE[:2, :3].mean())
    assert values.area_mm2 == pytest.approx(56)
