"""The anatomy behind the phantom: what lies where in a head, and how dense it is.

Lengths in mm in a patient frame: x to the left, y to the posterior, z to the head,
origin at the foramen of Monro. Signed distances are negative inside.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Bleed = Literal["intraparenchymal", "subdural"]
Field = npt.NDArray[np.floating]

# One half of the ventricles as capsules: two ends (x, y, z) and a radius.
_VENTRICLE = (
    ((6.0, -37.0, 3.0), (10.0, -16.0, 14.0), 3.8),
    ((10.0, -16.0, 14.0), (14.0, 14.0, 21.0), 4.6),
    ((14.0, 14.0, 21.0), (24.0, 36.0, 10.0), 5.4),
    ((24.0, 36.0, 9.0), (20.0, 54.0, 5.0), 2.6),
    ((25.0, 35.0, 6.0), (34.0, 4.0, -16.0), 1.4),
)
# Deep grey matter: centre, radii, HU relative to cortex.
_NUCLEI = (
    ((12.5, -22.0, 9.0), (4.5, 9.0, 9.0), 0.5),
    ((24.0, -7.0, 3.0), (7.0, 15.0, 10.0), 0.5),
    ((10.0, 9.0, 5.0), (8.0, 13.0, 9.0), 0.0),
)


@dataclass(frozen=True)
class Anatomy:
    """Numbers that differ from head to head; lengths in mm."""

    half_x: float
    half_y: float
    top: float
    exponent: float
    turn: tuple[float, float]
    scalp: float
    skull: float
    space: float
    atrophy: float
    grey: float
    white: float
    falx: float
    sinus: float
    glow: float
    noise_hu: float
    calcified: tuple[tuple[float, float, float, float, float], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Anatomy:
        """Draw an adult between 20 and 85 years."""
        age = rng.uniform(20, 85)
        atrophy = max(0.0, (age - 40) / 45)
        grey = rng.normal(37.5, 1.0)
        spots = []
        if age > 30:
            for side in (-1, 1):
                if rng.random() < 0.6:
                    spots.append((side * 23.0, 37.0, 10.0, rng.uniform(1.2, 2.6), 250.0))
            if rng.random() < 0.6:
                spots.append((0.5, 24.0, 3.0, rng.uniform(1.2, 2.4), 250.0))
        if rng.random() < 0.15:
            spots += [(side * 21.0, -8.0, 1.0, 2.5, 90.0) for side in (-1, 1)]
        if age > 45 and rng.random() < 0.2:
            spots.append((0.0, -48.0, 42.0, 2.0, 250.0))
        return cls(
            half_x=rng.normal(68, 2.2),
            half_y=rng.normal(86, 2.5),
            top=rng.normal(76, 2),
            exponent=rng.uniform(2.05, 2.3),
            turn=tuple(np.deg2rad(rng.normal(0, 2.0, 2))),
            scalp=rng.uniform(4.5, 6.5),
            skull=rng.normal(6.8, 0.7),
            space=rng.uniform(0.7, 1.3) + 1.6 * atrophy,
            atrophy=atrophy,
            grey=grey,
            white=grey - rng.normal(7.6, 0.6),
            falx=rng.normal(52, 3),
            sinus=rng.normal(54, 4),
            glow=rng.uniform(2, 5),
            noise_hu=rng.uniform(3.0, 4.5),
            calcified=tuple(spots),
        )


@dataclass(frozen=True)
class Wound:
    """Where a bleed lies and how dense it is; lengths in mm."""

    kind: Bleed
    side: int
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    hu: float
    rim: float

    @classmethod
    def draw(cls, rng: np.random.Generator, kind: Bleed) -> Wound:
        """Draw an acute bleed large enough to be seen on several slices."""
        side = int(rng.choice([-1, 1]))
        rim = rng.uniform(2.0, 4.0)
        hu = float(np.clip(rng.normal(62, 6), 52, 75))
        if kind == "subdural":
            # Angle from the lateral direction and its half width (rad), thickness (mm).
            centre = (rng.uniform(-0.4, 0.3), 0.0, rng.uniform(20, 35))
            return cls(kind, side, centre, (rng.uniform(7, 11), 1.0, 32.0), hu, rim)
        radius = float(np.clip(rng.lognormal(math.log(15), 0.2), 11, 20))
        lobar = rng.random() < 0.4
        centre = (
            (side * rng.uniform(32, 38), rng.uniform(-25, 30), rng.uniform(20, 35))
            if lobar
            else (side * rng.uniform(23, 28), rng.uniform(-12, 2), rng.uniform(4, 10))
        )
        aspect = rng.uniform(0.65, 0.9)
        return cls(kind, side, centre, (radius * aspect, radius * 1.15, radius), hu, rim)

    def thickness(self, canvas: _Canvas) -> Field:
        """Thickness (mm) of a subdural crescent at every pixel; 0 for other bleeds."""
        if self.kind != "subdural":
            return np.zeros_like(canvas.x)
        angle = np.arctan2(canvas.y, self.side * canvas.x) - self.centre[0]
        around = np.clip(1 - (angle / self.radii[1]) ** 4, 0, 1)
        height = max(0.0, 1 - ((canvas.z - self.centre[2]) / self.radii[2]) ** 2)
        return (self.radii[0] * height * around).astype(np.float32)

    def paint(self, canvas: _Canvas, depth: Field, fields: tuple[Field, ...]) -> Field:
        """Add the bleed and its oedema; return the share of each pixel that is blood."""
        if self.kind == "subdural":
            thickness = self.thickness(canvas)
            distance = np.where(thickness > 0.3, depth - thickness, 9.0)
        else:
            distance = canvas.ellipsoid(self.centre, self.radii, False)
            distance = distance + 0.9 * fields[1] + 1.5 * fields[0]
            canvas.fill(-distance, 21.0, 0.8 * np.exp(-np.maximum(distance, 0) / self.rim))
        canvas.fill(distance, self.hu + 1.5 * fields[1])
        return canvas.cover(distance)


class _Canvas:
    """A thin slice being painted, with the coordinates every tissue needs."""

    def __init__(self, head: Anatomy, x: Field, y: Field, z: float, pixel: float) -> None:
        roll, yaw = head.turn
        self.x = x * math.cos(yaw) + y * math.sin(yaw) + z * math.sin(roll)
        self.y = y * math.cos(yaw) - x * math.sin(yaw)
        self.z = z
        self.pixel = pixel
        self.hu = np.full_like(x, -1000.0)

    def cover(self, distance: Field, share: Field | float = 1.0) -> Field:
        """Fraction of each pixel with a negative signed distance."""
        return np.clip(0.5 - distance / self.pixel, 0, 1) * share

    def fill(self, distance: Field, hu: Field | float, share: Field | float = 1.0) -> None:
        """Replace the tissue inside a signed distance."""
        self.hu += (hu - self.hu) * self.cover(distance, share)

    def ellipsoid(
        self, centre: tuple[float, float, float], radii: tuple[float, float, float], fold: bool
    ) -> Field:
        """Signed distance to an ellipsoid, on both sides of the midline if folded."""
        x = np.abs(self.x) if fold else self.x
        height = (self.z - centre[2]) / radii[2]
        r = np.sqrt(
            ((x - centre[0]) / radii[0]) ** 2 + ((self.y - centre[1]) / radii[1]) ** 2 + height**2
        )
        return (r - 1) * min(radii)


def paint(
    head: Anatomy,
    wound: Wound | None,
    fields: tuple[Field, ...],
    x: Field,
    y: Field,
    z: float,
    pixel: float,
) -> tuple[Field, Field, Field]:
    """Draw one thin slice.

    Parameters
    ----------
    head, wound
        The anatomy and its bleed.
    fields
        Unit-variance ``(y, x)`` fields: sulci, folia, texture, two displacements.
    x, y
        Patient coordinates of the pixels.
    z
        Height of the slice.
    pixel
        Width of a pixel; edges are softened over it.

    Returns
    -------
    tuple
        HU, and the fractions (0..1) of each pixel inside the skull and in the bleed.
    """
    canvas = _Canvas(head, x, y, z, pixel)
    vault = _vault_depth(head, canvas)
    floor, petrous = _skull_base(canvas)
    depth = np.minimum(vault, (z - floor) * 0.8)
    _paint_scalp(head, canvas, vault, fields)
    _paint_face(head, canvas, vault, depth, fields)
    _paint_bone(head, canvas, vault, depth, petrous, fields)

    inside = canvas.cover(-depth)
    outer = canvas.hu
    canvas.hu = np.full_like(outer, 8.0)
    pressed = depth if wound is None else depth - wound.thickness(canvas)
    _paint_cerebrum(head, canvas, pressed, fields)
    _paint_deep(head, canvas, fields)
    _paint_posterior_fossa(head, canvas, pressed, fields)
    _paint_dura(head, canvas, vault, fields)
    blood = np.zeros_like(outer)
    if wound is not None:
        blood = wound.paint(canvas, depth, fields) * inside
    # Beam hardening: brighter under the bone, a dark bar between the petrous bones.
    canvas.hu += head.glow * np.exp(-depth / 5.0)
    canvas.hu -= 6 * math.exp(-(((z + 28) / 8) ** 2)) * np.exp(-(((canvas.y - 14) / 7) ** 2))
    hu = outer + (canvas.hu - outer) * inside
    return hu, inside, blood


def _vault_depth(head: Anatomy, canvas: _Canvas) -> Field:
    """Depth below the inner table of the vault, as if the skull base were open."""
    x, y, z = canvas.x, canvas.y, canvas.z
    half_x = head.half_x * (1 + 0.09 * np.tanh(y / 55))
    up = max(z, 0.0) / head.top
    down = max(-z, 0.0) / 140
    ex = (np.abs(x) / half_x) ** head.exponent
    ey = (np.abs(y) / head.half_y) ** head.exponent
    ez = up**2.4 + down**2
    radius = (ex + ey + ez) ** (1 / head.exponent)
    slope_z = (2.4 * up**1.4 / head.top if z > 0 else 2 * down / 140) / head.exponent
    # First order distance: (1 - r) over the length of the gradient of r.
    gradient = np.sqrt(
        (ex / np.maximum(np.abs(x), 1)) ** 2 + (ey / np.maximum(np.abs(y), 1)) ** 2 + slope_z**2
    ) / np.maximum(radius, 0.3) ** (head.exponent - 1)
    return ((1 - radius) / np.maximum(gradient, 1 / (1.6 * head.half_y))).astype(np.float32)


def _skull_base(canvas: _Canvas) -> tuple[Field, Field]:
    """Height of the floor of the skull, and where (0..1) it is petrous bone."""
    x, y = np.abs(canvas.x), canvas.y
    front = _step((-30 - y) / 3)
    back = _step((y - 6 - 0.35 * x) / 3)
    anterior = -25 + 9 * np.exp(-(((x - 32) / 14) ** 2) - ((y + 60) / 22) ** 2)
    anterior += 0.004 * (y + 45) ** 2
    middle = -21 - 19 * _step((x - 15) / 3) + 12 * _step((x - 55) / 4)
    posterior = -52 + 0.006 * (x**2 + (y - 42) ** 2)
    floor = front * anterior + back * posterior + (1 - front - back) * middle
    along = np.clip((x - 14) / 42, 0, 1)
    ridge = np.hypot(x - 14 - 42 * along, y - 3 - 20 * along)
    petrous = np.exp(-((ridge / 6.5) ** 2))
    floor += petrous * np.maximum(-19 - floor, 0)
    return floor.astype(np.float32), petrous.astype(np.float32)


def _step(value: Field) -> Field:
    return 0.5 * (1 + np.tanh(value))


def _paint_scalp(head: Anatomy, canvas: _Canvas, vault: Field, fields: tuple[Field, ...]) -> None:
    scalp = head.scalp + 0.4 * fields[3]
    skin = -(vault + head.skull + scalp)
    canvas.fill(skin, 35.0)
    canvas.fill(skin + 2.2, -85.0 + 12 * fields[1])
    # Temporalis and neck muscles replace the fat low on the head.
    low = float(np.clip((25 - canvas.z) / 20, 0, 1))
    side = _step((np.abs(canvas.x) - 45) / 6) + _step((canvas.y - 55) / 8)
    canvas.fill(skin + 3.5, 55.0 + 3 * fields[2], np.clip(low * side, 0, 1))


def _paint_face(
    head: Anatomy, canvas: _Canvas, vault: Field, depth: Field, fields: tuple[Field, ...]
) -> None:
    """Soft tissue, orbits and sinuses below the skull base."""
    if canvas.z > -8:
        return
    under_skin = -(vault + head.skull + 1.0)
    below = canvas.cover(np.maximum(depth + 3.0, under_skin))
    canvas.fill(depth + 3.0, np.where(fields[0] > 1.1, -80.0, 52.0) + 4 * fields[2], below)
    nose = canvas.ellipsoid((0.0, -62.0, -38.0), (13.0, 24.0, 19.0), False)
    for shape, wall, content in (
        (canvas.ellipsoid((31.0, -64.0, -38.0), (18.0, 26.0, 15.0), True), 3.0, -90.0),
        (nose, 2.5, np.where(np.abs(fields[1]) < 0.35, 150.0, -850.0)),
        (canvas.ellipsoid((0.0, -24.0, -35.0), (14.0, 12.0, 10.0), False), 2.5, -950.0),
    ):
        canvas.fill(np.abs(shape) - wall / 2, 550.0, below)
        canvas.fill(shape + wall / 2, content, below)
    eye = canvas.ellipsoid((31.0, -72.0, -38.0), (12.0, 12.0, 12.0), True)
    canvas.fill(eye, 45.0, below)
    canvas.fill(eye + 1.3, 10.0, below)
    nerve = canvas.ellipsoid((25.0, -50.0, -38.0), (2.5, 14.0, 3.0), True)
    canvas.fill(nerve, 35.0, below)


def _paint_bone(
    head: Anatomy,
    canvas: _Canvas,
    vault: Field,
    depth: Field,
    petrous: Field,
    fields: tuple[Field, ...],
) -> None:
    skull = head.skull + 0.4 * fields[4]
    base = np.where(depth < vault - 0.01, 3.0 + 11.0 * petrous, skull)
    shell = np.maximum(np.maximum(depth, -depth - base), -vault - skull)
    diploe = 700 + 130 * fields[1]
    cells = (petrous > 0.4) & (np.abs(canvas.x) > 44) & (fields[1] > 0.1) & (canvas.z < -8)
    canvas.fill(shell, np.where(cells, -550.0, 1050.0))
    spongy = shell + np.where((petrous > 0.3) & (canvas.z < -8), 50.0, 1.7)
    canvas.fill(spongy, diploe, np.clip(float(canvas.z + 30) / 15, 0, 1))


def _paint_cerebrum(
    head: Anatomy, canvas: _Canvas, depth: Field, fields: tuple[Field, ...]
) -> None:
    """Cortex along surface, sulci and fissures; white matter; the CSF between."""
    # For a band of wavelength L a unit of field is about L / 2 pi mm from its zeros.
    crack = np.abs(fields[0]) * np.float32(17 / (2 * math.pi))
    middle = np.abs(canvas.x + 0.5 * fields[3])
    outside_falx = _falx_edge(canvas)
    sylvian = _sylvian_distance(canvas, fields)
    gap = 0.8 + 0.9 * head.atrophy
    # Sulci also leave the interhemispheric fissure.
    into = np.minimum(depth, middle + 3 + np.maximum(outside_falx, 0))
    border = np.minimum(depth - head.space, crack + 9 * np.clip((into - 17) / 7, 0, 1))
    border = np.minimum(border, sylvian)
    border = np.minimum(border, np.maximum(middle - gap, outside_falx))
    canvas.fill(head.space - depth, head.grey)
    canvas.fill(3.2 - border, head.white)
    canvas.hu += 0.9 * fields[2]
    width = (0.35 + 0.8 * head.atrophy) * np.clip((19 - into) / 9, 0, 1)
    canvas.fill(crack - width, 8.0, width > 0.05)
    canvas.fill(sylvian - 0.5 - head.atrophy, 8.0)
    canvas.fill(np.maximum(middle - gap, outside_falx), 9.0)


def _falx_edge(canvas: _Canvas) -> Field:
    """Signed distance to where the hemispheres are apart: around the corpus callosum."""
    r = np.hypot((canvas.y - 2) / 56, (canvas.z - 6) / 30)
    return ((1 - r) * 32).astype(np.float32)


def _tentorium(canvas: _Canvas) -> Field:
    """Height of the tentorium."""
    return 8 - 0.32 * np.abs(canvas.x) - 0.3 * (canvas.y - 16)


def _capsule(
    x: Field, y: Field, z: float, start: tuple[float, ...], end: tuple[float, ...]
) -> Field:
    """Distance to a line segment."""
    axis = np.subtract(end, start)
    x, y, z = x - start[0], y - start[1], z - start[2]
    along = np.clip((x * axis[0] + y * axis[1] + z * axis[2]) / (axis @ axis), 0, 1)
    return np.sqrt(
        (x - along * axis[0]) ** 2 + (y - along * axis[1]) ** 2 + (z - along * axis[2]) ** 2
    )


def _sylvian_distance(canvas: _Canvas, fields: tuple[Field, ...]) -> Field:
    """Distance to the Sylvian fissure: insula and the gap between the opercula."""
    x = np.abs(canvas.x) + 2.5 * fields[3] + 0.5 * fields[0]
    y = canvas.y + 3.0 * fields[4] + 0.6 * fields[0]
    bend = 0.7 * canvas.z - 14
    insula = _capsule(x, y, 0.0, (36.0, -20.0, 0.0), (41.0, 6.0, 0.0))
    cleft = _capsule(x, y, 0.0, (39.0, bend, 0.0), (70.0, bend - 9, 0.0))
    return np.minimum(insula, cleft) + max(0.0, abs(canvas.z - 3) - 13)


def _paint_deep(head: Anatomy, canvas: _Canvas, fields: tuple[Field, ...]) -> None:
    """Nuclei and ventricles; the two sides differ a little."""
    level = copy(canvas)
    level.x = canvas.x + 1.2 * fields[3]
    for centre, radii, offset in _NUCLEI:
        canvas.fill(level.ellipsoid(centre, radii, True), head.grey + offset, 0.9)
    x = np.abs(level.x)
    wide = 0.8 + 0.8 * head.atrophy
    for start, end, radius in _VENTRICLE:
        if start[2] - 12 < canvas.z < end[2] + 12 or end[2] - 12 < canvas.z < start[2] + 12:
            canvas.fill(_capsule(x, canvas.y, canvas.z, start, end) - radius * wide, 7.0)
    third = level.ellipsoid((0.0, 2.0, -2.0), (1.3 + 1.8 * head.atrophy, 13.0, 9.0), False)
    canvas.fill(third, 7.0)


def _paint_posterior_fossa(
    head: Anatomy, canvas: _Canvas, depth: Field, fields: tuple[Field, ...]
) -> None:
    """Basal cisterns, brain stem, cerebellum and the fourth ventricle."""
    if canvas.z > 14:
        return
    canvas.fill(canvas.ellipsoid((0.0, -14.0, -15.0), (13.0, 9.0, 6.0), False), 8.0)
    tent = (canvas.z - _tentorium(canvas)) * 0.85
    region = np.maximum(tent, 4 + 0.35 * np.abs(canvas.x) - canvas.y)
    tissue = np.maximum(region + 1.2, head.space + 0.6 - depth)
    canvas.fill(region, 8.0)
    folds = np.abs(fields[1]) < 0.22
    canvas.fill(tissue, np.where(folds, head.grey - 9, head.grey - 2) + 0.9 * fields[2])
    core = canvas.ellipsoid((20.0, 42.0, -27.0), (14.0, 15.0, 12.0), True)
    canvas.fill(np.maximum(core + 2 * fields[1], tissue + 4), head.white)
    canvas.fill(np.maximum(canvas.ellipsoid((0.0, 21.0, -1.0), (17.0, 5.0, 7.0), False), tent), 8.0)
    for centre, radii in (
        ((0.0, 7.0, -8.0), (14.0, 12.0, 13.0)),
        ((0.0, 6.0, -27.0), (15.0, 13.0, 15.0)),
        ((0.0, 13.0, -46.0), (8.0, 7.0, 14.0)),
    ):
        stem = canvas.ellipsoid(centre, radii, False)
        canvas.fill(np.maximum(stem - 2.5, canvas.y - centre[1] - 6), 8.0)
        canvas.fill(stem, head.grey - 3 + 0.9 * fields[2])
    fourth = canvas.ellipsoid((0.0, 23.0, -28.0), (5.5 + 2 * head.atrophy, 3.5, 9.0), False)
    canvas.fill(fourth, 8.0)


def _paint_dura(head: Anatomy, canvas: _Canvas, vault: Field, fields: tuple[Field, ...]) -> None:
    """Falx, tentorium, venous sinuses and calcifications."""
    middle = np.abs(canvas.x + 0.5 * fields[3])
    tent = (canvas.z - _tentorium(canvas)) * 0.85
    under = np.where(canvas.y > 5, -tent, -15 - canvas.z)
    canvas.fill(np.maximum(np.maximum(middle - 0.7, _falx_edge(canvas)), under), head.falx)
    behind = 18 + 0.2 * np.abs(canvas.x) - canvas.y
    canvas.fill(np.maximum(np.abs(tent) - 0.9, behind), head.falx - 6)
    above = np.where(canvas.y > 5, -tent, 35 - canvas.z)
    canvas.fill(np.maximum(1.1 * middle + 0.6 * vault - 4.2, above), head.sinus)
    canvas.fill(np.maximum(np.hypot(tent, vault - 2) - 3.2, 35 - canvas.y), head.sinus)
    for x, y, z, radius, hu in head.calcified:
        canvas.fill(canvas.ellipsoid((x, y, z), (radius,) * 3, False), hu)
