"""Markers at the patient's right, front and top: in files, in every view, and in files again.

All three lie on the planes through one point off the middle, so every view shows two of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from dicom_head import make_series, save
from napari.layers import Layer
from nibabel import orientations

from napari_rsna_inpaint._qt import reader
from napari_rsna_inpaint._qt.canvas_text import write_on_canvas
from napari_rsna_inpaint._qt.layers import layer_volume
from napari_rsna_inpaint._qt.writer import write_nifti_layer

pytestmark = pytest.mark.gui

SHAPE = (14, 36, 30)
SPACING = (8.0, 4.0, 4.0)
ORIGIN = (-50.0, -80.0, 20.0)
#: The point, ``(z, y, x)`` with z to the head, y to the back, x to the left.
CENTRE = (5, 20, 16)
#: HU: in the brain window they are white, and two greys.
RIGHT, FRONT, TOP = 80, 60, 40
SCREEN = {
    # view: (marker at the left, marker at the top, letters at the top, bottom, left, right)
    "axial": (RIGHT, FRONT, "APRL"),
    "coronal": (RIGHT, TOP, "HFRL"),
    "sagittal": (FRONT, TOP, "HFAP"),
}


def head() -> npt.NDArray[np.int16]:
    """Markers in air, ``(z, y, x)`` towards head, back and left."""
    hu = np.full(SHAPE, -1000, np.int16)
    z, y, x = CENTRE
    hu[z - 1 : z + 2, y - 2 : y + 3, 2:6] = RIGHT
    hu[z - 1 : z + 2, 2:6, x - 2 : x + 3] = FRONT
    hu[10:13, y - 2 : y + 3, x - 2 : x + 3] = TOP
    return hu


def dicom(folder: Path, flips: tuple[int, ...] = (), tilt_mm: float = 0) -> Path:
    """Axial slices with array axes the other way round, or each a step further to the back."""
    steps = np.diag(SPACING)[:, ::-1]
    steps[0, 1] = tilt_mm
    origin = np.array(ORIGIN)
    for axis in flips:
        origin = origin + (SHAPE[axis] - 1) * steps[axis]
        steps[axis] *= -1
    return save(
        folder / "series",
        make_series(
            np.flip(head(), flips),
            steps[0],
            origin,
            orientation=(*steps[2] / SPACING[2], *steps[1] / SPACING[1]),
            spacing=SPACING[1:],
        ),
    )


def nifti(folder: Path, axes: str) -> Path:
    """A file whose axes run as the letters say."""
    affine = np.diag([-SPACING[2], -SPACING[1], SPACING[0], 1])
    affine[:3, 3] = np.array(ORIGIN) * (-1, -1, 1)
    image = nibabel.Nifti1Image(head().transpose(2, 1, 0), affine)
    turn = orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt(axes)
    )
    path = folder / "head.nii.gz"
    nibabel.save(image.as_reoriented(turn), path)
    return path


STORED: dict[str, Callable[[Path], Path]] = {
    "DICOM, first slice at the feet": dicom,
    "DICOM, first slice at the head, rows turned": lambda folder: dicom(folder, (0, 2)),
    "DICOM, first slice at the head, columns turned": lambda folder: dicom(folder, (0, 1)),
    "DICOM, gantry tilt": lambda folder: dicom(folder, tilt_mm=2.0),
    "NIfTI RAS": lambda folder: nifti(folder, "RAS"),
    "NIfTI LPS": lambda folder: nifti(folder, "LPS"),
    "NIfTI sagittal": lambda folder: nifti(folder, "PSR"),
    "NIfTI coronal": lambda folder: nifti(folder, "LSA"),
}


def centre_of(picture: npt.NDArray[np.uint8], hu: int) -> npt.NDArray[np.floating]:
    """Row and column of a marker, as parts of the picture."""
    grey = picture[..., :3].astype(int)
    wanted = np.abs(grey - hu * 255 / 80).max(axis=-1) <= 4
    assert wanted.sum() > 20, f"no marker of {hu} HU"
    return np.argwhere(wanted).mean(axis=0) / picture.shape[:2]


def check_screen(view: str, picture: npt.NDArray[np.uint8], letters: str) -> None:
    left, top, expected = SCREEN[view.split()[0]]
    row, column = centre_of(picture, left)
    upper_row, upper_column = centre_of(picture, top)
    assert max(column, upper_row) < 0.4, f"{view}: a marker is on the wrong side"
    # The point that both are level with lies right of and below the middle.
    assert min(upper_column, row) > 0.5, f"{view}: mirrored"
    assert letters == expected


def check_nifti(path: Path) -> None:
    """The file holds the markers where they were, whatever its axes."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    assert np.array_equal(np.asarray(image.dataobj), head().transpose(2, 1, 0)[::-1, ::-1])
    # The first voxel is the most left, most posterior, lowest one.
    corner = np.add(ORIGIN, ((SHAPE[2] - 1) * SPACING[2], (SHAPE[1] - 1) * SPACING[1], 0))
    assert np.allclose(image.affine[:3, 3], corner * (-1, -1, 1), atol=1e-3)


def test_markers_stay_where_the_patient_has_them(
    make_napari_viewer: Callable, tmp_path: Path, qtbot: Any
) -> None:
    from napari_rsna_inpaint._qt.side_views import SideViews

    viewer = make_napari_viewer(show=True)
    write_on_canvas(viewer)
    side = SideViews(viewer)
    viewer.window.add_dock_widget(side)
    qtbot.waitUntil(side.isVisible)
    views = {"coronal": side.coronal, "sagittal": side.sagittal}
    overlays = viewer.canvas.overlays
    places = ("top_center", "bottom_center", "middle_left", "middle_right")
    letters = [overlays[f"rsna_inpaint_{place}"] for place in places]
    for overlay in overlays.values():
        # Read from the model; in the picture they would look like markers.
        overlay.visible = False
    for number, (name, make) in enumerate(STORED.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        viewer.layers.clear()
        (data,) = reader.read_layers(str(make(folder)))
        layer = Layer.create(*data)
        # No grey in between.
        layer.interpolation2d = "nearest"
        viewer.layers.append(layer)
        volume = layer_volume(layer)
        assert volume is not None
        index = [
            SHAPE[axis] - 1 - at if axis in volume.canonical_flips else at
            for axis, at in enumerate(CENTRE)
        ]
        world = layer.data_to_world(index)
        if "tilt" not in name:
            assert np.allclose(world, (-60, 0, 14)), name
        viewer.dims.set_point(range(3), world)
        viewer.reset_view()
        qtbot.waitUntil(lambda: all(shows(view, layer) for view in views.values()))  # noqa: B023
        shots = {"axial": viewer.screenshot(flash=False, canvas_only=True)}
        words = {"axial": "".join(letter.text for letter in letters)}
        for view in views:
            # the markers lie in air: there is no head to fit
            views[view].model.reset_view()
            shots[view] = views[view].canvas.screenshot(flash=False)
            words[view] = "".join(views[view].marks.letters)
        for view, shot in shots.items():
            check_screen(f"{view} of {name}", shot, words[view])

        back = str(folder / "back.nii.gz")
        write_nifti_layer(back, *layer.as_layer_data_tuple()[:2])
        check_nifti(Path(back))


def shows(view: Any, layer: Layer) -> bool:
    twins = view.model.layers
    return len(twins) == 1 and twins[0].data is layer.data
