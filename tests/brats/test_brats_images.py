import gzip

import nibabel as nib
import numpy as np
import pytest
from mr_cases import LPS, load, save, write_case

from napari_rsna_inpaint.brats.cases import Case, brain_of, find_cases
from napari_rsna_inpaint.brats.images import read_image, write_image
from napari_rsna_inpaint.brats.normalise import WINDOW, Scale
from napari_rsna_inpaint.errors import InputRefused

# stored axes: to the feet, to the right, to the front
TURNED = np.array([[0, 1.0, 0, 5], [0, 0, 1, -7], [-1, 0, 0, 30], [0, 0, 0, 1]])


def test_cases_are_found_wherever_they_lie(tmp_path):
    write_case(tmp_path / "a", "BraTS-GLI-00002-000")
    write_case(tmp_path, "BraTS-GLI-00001-001", parts=["t1n-voided", "mask"])
    save(tmp_path / "notes.nii.gz", np.zeros((2, 2, 2), np.uint8))
    first, second = find_cases(tmp_path)
    assert (first.name, set(first.files)) == ("BraTS-GLI-00001-001", {"t1n-voided", "mask"})
    assert len(second.files) == 5


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="holds no cases"):
        find_cases(tmp_path)
    with pytest.raises(InputRefused, match="no folder"):
        find_cases(tmp_path / "nowhere")


def test_the_same_file_twice_is_refused(tmp_path):
    for copy in ("a", "b"):
        write_case(tmp_path / copy, parts=["t1n"])
    with pytest.raises(InputRefused, match="more than once"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("BraTS-GLI-00001-000", "BraTS-GLI-00001"),
        ("BraTS-GLI-00001-002-extra-3", "BraTS-GLI-00001"),
        ("someone", "someone"),
        ("someone-extra-1", "someone"),
    ],
)
def test_time_points_and_extra_masks_belong_to_one_patient(name, patient):
    assert Case(name).patient == patient


def test_a_mask_on_another_grid_is_refused(tmp_path):
    files = write_case(tmp_path, parts=["t1n"])
    moved = LPS.copy()
    moved[0, 3] = 4.0
    folder = tmp_path / "BraTS-GLI-00001-000"
    save(folder / "BraTS-GLI-00001-000-mask.nii.gz", files["mask"], moved)
    (case,) = find_cases(tmp_path)
    with pytest.raises(InputRefused, match="another grid"):
        case.known()


def test_an_empty_or_missing_mask_is_refused(tmp_path):
    files = write_case(tmp_path, parts=["t1n"])
    (case,) = find_cases(tmp_path)
    with pytest.raises(InputRefused, match="no BraTS-GLI-00001-000-mask"):
        case.known()
    folder = tmp_path / "BraTS-GLI-00001-000"
    save(folder / "BraTS-GLI-00001-000-mask.nii.gz", np.zeros_like(files["mask"]))
    (case,) = find_cases(tmp_path)
    with pytest.raises(InputRefused, match="empty"):
        case.known()


@pytest.mark.parametrize("affine", [LPS, TURNED], ids=["lps", "turned"])
def test_canonical_axes_go_up_back_and_left(tmp_path, affine):
    shape = (3, 4, 5)
    places = np.indices(shape).reshape(3, -1)
    ras = (affine[:3, :3] @ places + affine[:3, 3:]).reshape(3, *shape)
    save(tmp_path / "x.nii.gz", np.zeros(shape, np.int16), affine)
    image = read_image(tmp_path / "x.nii.gz")
    x, y, z = (image.to_canonical(one) for one in ras)
    assert (np.diff(z, axis=0) > 0).all()
    assert (np.diff(y, axis=1) < 0).all()
    assert (np.diff(x, axis=2) < 0).all()
    np.testing.assert_array_equal(image.from_canonical(image.to_canonical(ras[0])), ras[0])


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_an_unchanged_image_is_written_as_it_was(tmp_path, dtype):
    rng = np.random.default_rng(0)
    array = (200 * rng.random((3, 4, 5))).astype(dtype)
    save(tmp_path / "x.nii.gz", array, TURNED)
    image = read_image(tmp_path / "x.nii.gz")
    write_image(tmp_path / "y.nii.gz", image.stored, image)
    before, after = (nib.load(tmp_path / f"{name}.nii.gz") for name in "xy")
    assert after.get_data_dtype() == before.get_data_dtype()
    np.testing.assert_array_equal(after.affine, before.affine)
    np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())


def test_scaling_of_a_file_is_kept(tmp_path):
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    file = nib.Nifti1Image(array, LPS, header)
    file.header.set_slope_inter(0.5, 10)
    raw = bytearray(file.to_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]))
    header["scl_slope"], header["scl_inter"] = 0.5, 10
    raw[:348] = header.binaryblock
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(bytes(raw)))
    image = read_image(tmp_path / "x.nii.gz")
    np.testing.assert_allclose(image.to_stored(image.values), image.stored)
    write_image(tmp_path / "y.nii.gz", image.stored, image)
    again = read_image(tmp_path / "y.nii.gz")
    assert (again.slope, again.inter) == (0.5, 10)
    np.testing.assert_array_equal(again.values, image.values)


def test_damaged_files_are_refused(tmp_path):
    write_case(tmp_path, parts=["t1n"])
    path = tmp_path / "BraTS-GLI-00001-000" / "BraTS-GLI-00001-000-t1n.nii.gz"
    whole = path.read_bytes()
    for content in (b"", b"nonsense" * 100, whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputRefused, match="damaged"):
            read_image(path)


def test_what_is_no_single_grey_volume_is_refused(tmp_path):
    save(tmp_path / "x.nii.gz", np.zeros((3, 3, 3, 2), np.int16))
    with pytest.raises(InputRefused, match="no single"):
        read_image(tmp_path / "x.nii.gz")
    values = np.zeros((3, 3, 3), np.float32)
    values[0, 0, 0] = np.nan
    save(tmp_path / "y.nii.gz", values)
    with pytest.raises(InputRefused, match="not numbers"):
        read_image(tmp_path / "y.nii.gz")
    nib.save(nib.Nifti1Image(values, None), tmp_path / "z.nii.gz")
    with pytest.raises(InputRefused, match="left from right"):
        read_image(tmp_path / "z.nii.gz")


def test_scaling_there_and_back_changes_nothing_inside_the_quantiles():
    values = np.random.default_rng(0).normal(500, 100, (20, 20, 20)).astype(np.float32)
    known = np.ones(values.shape, bool)
    scale = Scale.of(values, known)
    inside = (values > scale.low) & (values < scale.high)
    assert 0.997 < inside.mean() < 0.999
    scaled = scale.to_model(values)
    assert (scaled.min(), scaled.max()) == WINDOW
    np.testing.assert_allclose(scale.from_model(scaled)[inside], values[inside], rtol=1e-5)


def test_the_scale_does_not_see_the_hole():
    values = np.random.default_rng(0).normal(500, 100, (20, 20, 20))
    known = np.ones(values.shape, bool)
    known[5:15] = False
    other = np.where(known, values, 1e6)
    assert Scale.of(values, known) == Scale.of(other, known)


def test_an_image_of_one_value_has_no_scale():
    with pytest.raises(InputRefused, match="empty"):
        Scale.of(np.zeros((3, 3, 3)), np.ones((3, 3, 3), bool))
    with pytest.raises(InputRefused, match="nothing is known"):
        Scale.of(np.zeros((3, 3, 3)), np.zeros((3, 3, 3), bool))


def test_the_hole_belongs_to_the_brain(tmp_path):
    files = write_case(tmp_path)
    brain = brain_of(files["t1n-voided"], files["mask"] > 0)
    np.testing.assert_array_equal(brain, files["t1n"] > 0)
    assert load(tmp_path / "BraTS-GLI-00001-000/BraTS-GLI-00001-000-mask.nii.gz").any()
