import gzip
import itertools
import struct
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from dicom_head import codes, judge, make_series, plastic_head, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused
from napari_rsna_inpaint.io import read, write_nifti

HU = plastic_head()
STORED = np.ascontiguousarray(HU.transpose(2, 1, 0))
AFFINE = np.array([[-0.5, 0, 0, 5], [0, -0.5, 0, 6], [0, 0, 5, -30], [0, 0, 0, 1.0]])
in_tmp = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def store(path, array=STORED, affine=AFFINE, *, raw=None):
    """Write a NIfTI file; ``raw`` patches bytes of the header: ``{offset: bytes}``."""
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    content = bytearray(image.to_bytes())
    for offset, patch in (raw or {}).items():
        content[offset : offset + len(patch)] = patch
    if path.name.endswith(".gz"):
        content = gzip.compress(bytes(content))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_clean_file_is_exact_and_silent(tmp_path, name):
    volume = judge(store(tmp_path / name))
    assert volume.notes == ()
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, HU)
    # x index 0 lies at RAS x=5, so at LPS x=-5, and grows to the left.
    np.testing.assert_allclose(volume.to_patient([0, 0, 0]), [-5, -6, -30])
    np.testing.assert_allclose(volume.to_patient([1, 2, 3]), [-3.5, -5, -25])


ORDERS = list(itertools.permutations(range(3)))


@in_tmp
@given(
    order=st.sampled_from(ORDERS),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    zooms=st.tuples(*[st.floats(0.3, 6)] * 3),
    shear=st.floats(-0.2, 0.2),
    origin=st.tuples(*[st.floats(-200, 200)] * 3),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
)
def test_reading_and_writing_gives_the_same_file_back(
    tmp_path, order, signs, zooms, shear, origin, suffix
):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order] * np.multiply(signs, zooms)
    affine[:3, 2] += shear * affine[:3, 0]
    affine[:3, 3] = origin
    path = tmp_path / f"in{suffix}"
    image = nib.Nifti1Image(STORED, affine)
    image.set_sform(affine, 1)
    image.set_qform(None, 0)
    nib.save(image, path)
    volume = read(path)
    back = nib.load(write_nifti(tmp_path / f"out{suffix}", volume.hu, volume))
    np.testing.assert_array_equal(np.asanyarray(back.dataobj), STORED)
    np.testing.assert_allclose(back.affine, nib.load(path).affine, atol=1e-6)
    # The bright voxel is at the same place for nibabel (RAS) and for us (LPS).
    index = np.argwhere(volume.hu == volume.hu.max())[0]
    stored_index = np.argwhere(STORED.max() == STORED)
    places = nib.affines.apply_affine(affine, stored_index)
    here = volume.to_patient(index) * [-1, -1, 1]
    assert np.abs(places - here).sum(axis=1).min() < 1e-3


@in_tmp
@given(
    tilt=st.floats(-0.5, 0.5),
    spacing=st.tuples(st.floats(0.2, 1.5), st.floats(0.2, 1.5)),
    step=st.floats(-8, 8).filter(lambda gap: abs(gap) > 0.5),
    flip=st.booleans(),
)
def test_every_voxel_of_dicom_keeps_its_place_in_nifti(tmp_path, tilt, spacing, step, flip):
    row = (-1, 0, 0) if flip else (1, 0, 0)
    orientation = (*row, 0, np.cos(tilt), -np.sin(tilt))
    options = {"orientation": orientation, "spacing": spacing, "step": (0, 0, step)}
    folder = tmp_path / f"{tilt}{spacing}{step}{flip}"
    volume = read(save(folder, make_series(HU, **options)))
    image = nib.load(write_nifti(tmp_path / "out.nii.gz", volume.hu, volume))
    values = np.asanyarray(image.dataobj)
    for z, y, x in [(0, 0, 0), (5, 2, 7), (3, 20, 11)]:
        assert values[x, y, z] == volume.hu[z, y, x]
        place = nib.affines.apply_affine(image.affine, (x, y, z)) * [-1, -1, 1]
        np.testing.assert_allclose(place, volume.to_patient((z, y, x)), atol=1e-3)


def test_written_orientation_is_what_the_markers_say(tmp_path):
    volume = read(save(tmp_path / "s", make_series(HU)))
    image = nib.load(write_nifti(tmp_path / "out.nii.gz", volume.hu, volume))
    # DICOM axial head first: columns run to the left, rows to the back, slices to the top.
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")


def test_uint16_stays_exact(tmp_path):
    volume = read(store(tmp_path / "a.nii", STORED.astype(np.int32)))
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, HU)


def test_scaling_is_applied(tmp_path):
    shifted = (STORED + 1024).astype(np.uint16)
    path = store(tmp_path / "a.nii", shifted, raw={112: struct.pack("<2f", 1, -1024)})
    volume = judge(path)
    assert volume.notes == ()
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, HU)


@pytest.mark.parametrize(
    ("slope", "inter", "noted"),
    [
        (0.0, -1024.0, True),
        (np.nan, -1024.0, True),
        (np.inf, 0.0, True),
        (0.0, 0.0, False),
        (np.nan, np.nan, False),
    ],
)
def test_invalid_scaling_is_ignored_as_the_standard_says(tmp_path, slope, inter, noted):
    path = store(tmp_path / "a.nii", raw={112: struct.pack("<2f", slope, inter)})
    volume = judge(path)
    assert codes(volume) == (["scaling-ignored"] if noted else [])
    np.testing.assert_array_equal(volume.hu, HU)


def test_conflict_of_sform_and_qform_is_noted(tmp_path):
    image = nib.Nifti1Image(STORED, AFFINE)
    image.set_sform(AFFINE, 1)
    other = AFFINE.copy()
    other[0, 3] += 12
    image.set_qform(other, 1)
    nib.save(image, tmp_path / "a.nii")
    volume = judge(tmp_path / "a.nii")
    assert codes(volume) == ["sform-qform-differ"]
    assert "12.0 mm" in volume.notes[0].message
    np.testing.assert_allclose(volume.nifti_affine, AFFINE)


def test_unknown_side_is_asked_about_and_can_be_answered(tmp_path):
    path = store(tmp_path / "a.nii", raw={252: bytes(4)})
    question = judge(path)
    assert isinstance(question, ChoiceNeeded)
    assert [choice[:3] for choice in question.choices] == ["LAS", "LPS", "RAS"]
    volume = read(path, "LPS")
    assert codes(volume) == ["orientation-chosen"]
    assert nib.aff2axcodes(volume.nifti_affine) == ("L", "P", "S")
    assert volume.spacing == pytest.approx((5, 0.5, 0.5))


def test_several_volumes_are_asked_about_and_can_be_answered(tmp_path):
    path = store(tmp_path / "a.nii.gz", np.stack([STORED, STORED + 5], axis=3))
    question = judge(path)
    assert isinstance(question, ChoiceNeeded)
    assert len(question.choices) == 2
    np.testing.assert_array_equal(read(path, "1").hu, HU + 5)
    with pytest.raises(ChoiceNeeded):
        read(path, "2")
    with pytest.raises(InputRefused, match="names no volume"):
        read(path, "1.2.3")


def test_single_fourth_dimension_is_squeezed(tmp_path):
    volume = judge(store(tmp_path / "a.nii", STORED[..., None]))
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu, HU)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_cut_off_file_is_refused(tmp_path, name):
    path = store(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-100])
    result = judge(path)
    assert isinstance(result, InputRefused)
    assert "cut off" in str(result)


def test_wrong_checksum_is_refused(tmp_path):
    path = store(tmp_path / "a.nii.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    assert judge(path).code == "damaged"


def test_more_data_than_declared_is_no_way_to_fill_the_memory(tmp_path):
    path = store(tmp_path / "a.nii")
    bomb = gzip.compress(path.read_bytes() + bytes(100 * 2**20))
    (tmp_path / "b.nii.gz").write_bytes(bomb)
    assert judge(tmp_path / "b.nii.gz").code == "damaged"


def test_gz_name_without_gzip_is_read_by_its_content(tmp_path):
    plain = store(tmp_path / "a.nii")
    plain.rename(tmp_path / "a.nii.gz")
    volume = judge(tmp_path / "a.nii.gz")
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu, HU)


@pytest.mark.parametrize("sizes", [(32767, 32767, 32767), (20, -5, 6), (0, 24, 6), (30000, 24, 6)])
def test_impossible_dimensions_are_refused_at_once(tmp_path, sizes):
    path = store(tmp_path / "a.nii", raw={42: struct.pack("<3h", *sizes)})
    assert judge(path).code == "dimensions"


@pytest.mark.parametrize("rank", [0, 9, -1])
def test_impossible_rank_is_refused(tmp_path, rank):
    assert isinstance(
        judge(store(tmp_path / "a.nii", raw={40: struct.pack("<h", rank)})), InputRefused
    )


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_singular_affine_is_refused(tmp_path, bad):
    row = struct.pack("<4f", bad, bad, bad, 0)
    path = store(tmp_path / "a.nii", raw={280: row, 252: struct.pack("<h", 0)})
    assert judge(path).code == "singular-affine"


def test_singular_sform_gives_way_to_the_qform(tmp_path):
    volume = judge(store(tmp_path / "a.nii", raw={280: bytes(16)}))
    assert codes(volume) == ["sform-unusable"]
    np.testing.assert_allclose(volume.nifti_affine, AFFINE, atol=1e-5)


def test_shear_and_zero_voxel_size_are_noted(tmp_path):
    affine = AFFINE.copy()
    affine[1, 2] = 1.5
    image = nib.Nifti1Image(STORED, affine)
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "a.nii")
    volume = judge(tmp_path / "a.nii")
    assert codes(volume) == ["sheared"]
    assert volume.spacing[0] == pytest.approx(5)
    path = store(tmp_path / "b.nii", raw={88: struct.pack("<f", 0), 252: struct.pack("<h", 0)})
    assert codes(judge(path)) == ["bad-pixdim"]


def test_voxels_that_are_no_numbers_become_air(tmp_path):
    array = STORED.astype(np.float32)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    volume = judge(store(tmp_path / "a.nii", array))
    assert codes(volume) == ["non-finite"]
    assert "3 voxels" in volume.notes[0].message
    np.testing.assert_array_equal(volume.hu[:3, 0, 0], [-1024] * 3)
    np.testing.assert_array_equal(volume.hu[:, 1:], HU[:, 1:])


@pytest.mark.parametrize(
    "array",
    [
        np.clip(STORED / 10 + 100, 0, 255).astype(np.uint8),
        np.clip(STORED / 10 + 100, 0, 255).astype(np.float32),
        (STORED + 1024).astype(np.int16),
        STORED.astype(np.complex64),
    ],
    ids=["uint8", "grey", "unshifted", "complex"],
)
def test_values_that_are_no_hounsfield_units_are_refused(tmp_path, array):
    assert judge(store(tmp_path / "a.nii", array)).code == "not-hu"


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"\x1f\x8b" + b"\0" * 50])
def test_rubbish_named_nifti_is_refused(tmp_path, content):
    (tmp_path / "a.nii.gz").write_bytes(content)
    assert judge(tmp_path / "a.nii.gz").code == "damaged"


def test_big_endian_and_nifti2(tmp_path):
    big = nib.Nifti1Image(STORED, AFFINE, nib.Nifti1Header(endianness=">"))
    nib.save(big, tmp_path / "big.nii")
    nib.save(nib.Nifti2Image(STORED, AFFINE), tmp_path / "two.nii.gz")
    for name in ("big.nii", "two.nii.gz"):
        np.testing.assert_array_equal(judge(tmp_path / name).hu, HU)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("scaled", [False, True])
def test_there_is_no_second_copy_in_memory(tmp_path, name, scaled):
    values = np.random.default_rng(0).integers(-1000, 2000, (128, 128, 640)).astype(np.int16)
    patch = {112: struct.pack("<ff", 1.0, -24.0)} if scaled else {}
    path = store(tmp_path / name, values, raw=patch)
    read(path)
    tracemalloc.start()
    volume = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert volume.hu.dtype == np.int16
    assert peak < 1.5 * volume.hu.nbytes
