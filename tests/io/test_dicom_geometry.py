import random

import numpy as np
import pytest
from dicom_head import codes, judge, make_series, make_slice, plastic_head, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused
from napari_rsna_inpaint.io import read

HU = plastic_head()
in_tmp = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def rotation(angles):
    a, b, c = angles
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rz @ ry @ rx


def test_clean_series_is_exact_and_silent(tmp_path):
    volume = judge(save(tmp_path / "s", make_series(HU)))
    assert volume.notes == ()
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, HU)
    expected = [[0, 0, 0.5, -5], [0, 0.5, 0, -6], [5, 0, 0, 100], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.affine, expected)
    assert volume.spacing == pytest.approx((5, 0.5, 0.5))
    assert volume.description == "HEAD 5mm"


def test_rows_and_columns_are_not_confused(tmp_path):
    volume = read(save(tmp_path / "s", make_series(HU, spacing=(0.7, 0.3))))
    assert volume.spacing == pytest.approx((5, 0.7, 0.3))
    np.testing.assert_allclose(volume.to_patient([0, 10, 0]), [-5, -6 + 7.0, 100])


@pytest.mark.parametrize("step", [5.0, -5.0])
def test_markers_lie_on_their_side(tmp_path, step):
    """A bright voxel put at the patient's left, front, top is found there in any file order."""
    hu = np.full((5, 11, 9), -1000, np.int16)
    position = {"left": (2, 5, 8), "front": (2, 0, 4), "top": (4 if step > 0 else 0, 5, 4)}
    for value, index in enumerate(position.values(), start=1):
        hu[index] = 1000 * value
    volume = read(save(tmp_path / "s", make_series(hu, step=(0, 0, step))))
    centre = volume.to_patient(np.subtract(volume.hu.shape, 1) / 2)
    found = [
        volume.to_patient(np.argwhere(volume.hu == 1000 * value)[0]) - centre for value in (1, 2, 3)
    ]
    left, front, top = found
    np.testing.assert_allclose(left, [2.0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(front, [0, -2.5, 0], atol=1e-9)
    np.testing.assert_allclose(top, [0, 0, 10.0], atol=1e-9)


@in_tmp
@given(order=st.permutations(range(6)), numbers=st.permutations(range(6)))
def test_file_order_and_instance_numbers_do_not_matter(tmp_path, order, numbers):
    slices = make_series(HU)
    for ds, number in zip(slices, numbers, strict=True):
        ds.InstanceNumber = number
    folder = tmp_path / str(random.random())
    volume = read(save(folder, [slices[index] for index in order]))
    np.testing.assert_array_equal(volume.hu, HU)
    assert volume.notes == ()
    assert list(volume.slice_ids) == [ds.SOPInstanceUID for ds in slices]


@in_tmp
@given(
    angles=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    shear=st.floats(-2.0, 2.0),
    spacing=st.tuples(st.floats(0.2, 1.5), st.floats(0.2, 1.5)),
    gap=st.floats(0.5, 8.0),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
)
def test_every_voxel_keeps_its_place(tmp_path, angles, shear, spacing, gap, origin):
    turn = rotation(angles)
    row, column, normal = turn.T
    step = gap * normal + shear * column
    slices = make_series(HU, step=step, origin=origin, spacing=spacing, orientation=(*row, *column))
    # What the header says, after its rounding to 16 characters, is the truth.
    volume = read(save(tmp_path / str(random.random()), slices))
    z, y, x = 4, 7, 3
    ds = slices[z]
    direction = np.array(ds.ImageOrientationPatient, float)
    place = (
        np.array(ds.ImagePositionPatient, float)
        + y * direction[3:] * float(ds.PixelSpacing[0])
        + x * direction[:3] * float(ds.PixelSpacing[1])
    )
    np.testing.assert_allclose(volume.to_patient([z, y, x]), place, atol=1e-4)
    np.testing.assert_allclose((volume.affine @ [z, y, x, 1])[:3], place, atol=1e-4)
    assert volume.hu[z, y, x] == HU[z, y, x]
    assert volume.spacing == pytest.approx((gap, *spacing), rel=1e-4)


def test_gantry_tilt_keeps_shear_and_is_noted(tmp_path):
    angle = np.radians(18.5)
    orientation = (1, 0, 0, 0, np.cos(angle), -np.sin(angle))
    volume = judge(save(tmp_path / "s", make_series(HU, orientation=orientation)))
    assert codes(volume) == ["gantry-tilt"]
    assert "18.5 degrees" in volume.notes[0].message
    np.testing.assert_allclose(volume.affine[:3, 0], [0, 0, 5])
    assert volume.spacing[0] == pytest.approx(5 * np.cos(angle))


def test_oblique_without_shear_is_noted_and_keeps_its_spacing(tmp_path):
    angle = np.radians(12)
    orientation = (1, 0, 0, 0, np.cos(angle), -np.sin(angle))
    step = (0, 5 * np.sin(angle), 5 * np.cos(angle))
    volume = judge(save(tmp_path / "s", make_series(HU, orientation=orientation, step=step)))
    assert codes(volume) == ["oblique"]
    assert volume.spacing[0] == pytest.approx(5)


def test_missing_slice_is_noted_with_its_place(tmp_path):
    slices = make_series(HU)
    del slices[2]
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["missing-slices"]
    assert "1 of 6" in volume.notes[0].message
    assert "z=105.0 to 115.0" in volume.notes[0].message
    np.testing.assert_array_equal(volume.hu, np.delete(HU, 2, axis=0))
    np.testing.assert_allclose(volume.slice_z_mm, [100, 105, 115, 120, 125])


def test_uneven_spacing_is_noted_and_positions_kept(tmp_path):
    z = [100, 105, 110, 117.5, 125, 132.5]
    slices = [make_slice(plane, (0, 0, place)) for plane, place in zip(HU, z, strict=True)]
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["uneven-spacing"]
    assert "5.00 to 7.50" in volume.notes[0].message
    np.testing.assert_allclose(volume.slice_z_mm, z)
    assert volume.spacing[0] == pytest.approx(6.5)


def test_rounding_of_positions_is_no_uneven_spacing(tmp_path):
    z = [100, 104.99, 110.01, 115, 120, 125]
    slices = [make_slice(plane, (0, 0, place)) for plane, place in zip(HU, z, strict=True)]
    assert judge(save(tmp_path / "s", slices)).notes == ()


def test_sideways_shift_is_noted(tmp_path):
    slices = make_series(HU)
    slices[3].ImagePositionPatient = [-2.0, -6.0, 115.0]
    assert codes(judge(save(tmp_path / "s", slices))) == ["slices-shifted"]


def test_identical_duplicate_is_dropped_and_noted(tmp_path):
    slices = make_series(HU)
    slices.append(make_slice(HU[3], (-5, -6, 115), number=9))
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["duplicate-slices"]
    np.testing.assert_array_equal(volume.hu, HU)


def test_one_place_with_two_images_is_asked_about(tmp_path):
    slices = make_series(HU)
    slices.append(make_slice(HU[3] + 7, (-5, -6, 115), number=9))
    folder = save(tmp_path / "s", slices)
    question = judge(folder)
    assert isinstance(question, ChoiceNeeded)
    assert question.code == "phases"
    first, second = (choice.split()[0] for choice in question.choices)
    np.testing.assert_array_equal(read(folder, first).hu, HU)
    other = HU.copy()
    other[3] += 7
    np.testing.assert_array_equal(read(folder, second).hu, other)


def test_two_phases_are_told_apart_by_acquisition(tmp_path):
    slices = make_series(HU) + make_series(HU + 20)
    for index, ds in enumerate(slices):
        ds.AcquisitionNumber = 1 + index // len(HU)
    folder = save(tmp_path / "s", slices)
    question = judge(folder)
    assert isinstance(question, ChoiceNeeded)
    assert [c.rpartition("  ")[2] for c in question.choices] == [
        "AcquisitionNumber 1",
        "AcquisitionNumber 2",
    ]
    np.testing.assert_array_equal(read(folder, "1.2.3#2").hu, HU + 20)


def test_many_images_of_one_place_are_no_volume(tmp_path):
    slices = make_series(HU, step=(0, 0, 0))
    assert judge(save(tmp_path / "s", slices)).code == "one-position"


@pytest.mark.parametrize(
    ("tag", "value"),
    [("PixelSpacing", [1.0, 1.0]), ("ImageOrientationPatient", [0, 1, 0, 0, 0, -1])],
)
def test_mixed_parts_are_asked_about(tmp_path, tag, value):
    slices = make_series(np.concatenate([HU, HU]))
    for ds in slices[:5]:
        setattr(ds, tag, value)
    question = judge(save(tmp_path / "s", slices))
    assert isinstance(question, ChoiceNeeded)
    assert question.code == "mixed-geometry"
    assert [c.split()[0] for c in question.choices] == ["1.2.3#1", "1.2.3#2"]


def test_one_slice_of_another_matrix_is_asked_about(tmp_path):
    slices = make_series(HU)
    slices[2] = make_slice(plastic_head(1, 32, 32)[0], (-5, -6, 110))
    folder = save(tmp_path / "s", slices)
    assert judge(folder).code == "mixed-geometry"
    np.testing.assert_array_equal(read(folder, "1.2.3#1").hu, np.delete(HU, 2, axis=0))


def test_noise_in_orientation_and_spacing_splits_nothing(tmp_path):
    slices = make_series(HU)
    for sign, ds in zip([-1, 1] * 3, slices, strict=True):
        ds.ImageOrientationPatient = [1, 0.005 + sign * 1e-5, 0, -0.005 - sign * 1e-5, 1, 0]
        ds.PixelSpacing = [0.50005 + sign * 1e-6] * 2
    assert judge(save(tmp_path / "s", slices)).notes == ()


def test_forgotten_scout_is_left_out(tmp_path):
    slices = make_series(HU)
    slices.append(make_slice(HU[0], (0, 0, 0), orientation=(1, 0, 0, 0, 0, -1)))
    volume = judge(save(tmp_path / "s", slices))
    np.testing.assert_array_equal(volume.hu, HU)


def test_sagittal_is_asked_about_and_read_on_demand(tmp_path):
    slices = make_series(HU, orientation=(0, 1, 0, 0, 0, -1), step=(-4, 0, 0))
    folder = save(tmp_path / "s", slices)
    question = judge(folder)
    assert isinstance(question, ChoiceNeeded)
    assert question.code == "not-axial"
    volume = read(folder, question.choices[0].split()[0])
    assert "not-axial" in codes(volume)
    np.testing.assert_array_equal(volume.hu, HU)


def test_no_positions_fall_back_to_instance_numbers(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        del ds.ImagePositionPatient
    volume = judge(save(tmp_path / "s", slices[::-1]))
    assert codes(volume) == ["no-position"]
    np.testing.assert_array_equal(volume.hu, HU)


def test_no_positions_and_no_numbers_are_refused(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        del ds.ImagePositionPatient
        ds.InstanceNumber = 1
    assert judge(save(tmp_path / "s", slices)).code == "no-order"


def test_one_slice_without_position_is_left_out(tmp_path):
    slices = make_series(HU)
    del slices[2].ImagePositionPatient
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["slice-refused", "missing-slices"]
    np.testing.assert_array_equal(volume.hu, np.delete(HU, 2, axis=0))


def test_impossible_orientation_is_refused(tmp_path):
    result = judge(save(tmp_path / "s", make_series(HU, orientation=(1, 0, 0, 1, 0, 0))))
    assert isinstance(result, InputRefused)
    assert result.code == "bad-orientation"


def test_single_slice_has_its_thickness(tmp_path):
    folder = save(tmp_path / "s", make_series(HU))
    volume = judge(folder / "f002")
    assert volume.notes == ()
    assert volume.hu.shape[0] == 1
    assert volume.spacing == pytest.approx((5, 0.5, 0.5))
    np.testing.assert_array_equal(volume.hu[0], HU[2])


def test_feet_first_is_placed_by_orientation_alone(tmp_path):
    slices = make_series(HU, orientation=(-1, 0, 0, 0, 1, 0))
    for ds in slices:
        ds.PatientPosition = "FFS"
    volume = judge(save(tmp_path / "s", slices))
    # The normal of this orientation points to the feet, so the order is reversed.
    np.testing.assert_array_equal(volume.hu, HU[::-1])
    np.testing.assert_allclose(volume.to_patient([0, 0, 2]), [-6, -6, 125])
