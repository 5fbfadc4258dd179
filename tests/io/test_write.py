import csv
import errno
import itertools
import json
import os

import nibabel as nib
import numpy as np
import pytest
from dicom_head import make_series, plastic_head, save

from napari_rsna_inpaint.errors import OutputFailed
from napari_rsna_inpaint.io import read, write, write_csv, write_json, write_nifti
from napari_rsna_inpaint.volume import CTVolume

HU = plastic_head()


@pytest.fixture
def volume(tmp_path):
    return read(save(tmp_path / "s", make_series(HU)))


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [(bool, np.uint8), (np.float64, np.float32), (np.int16, np.int16), (np.int64, np.int32)],
)
def test_types_are_stored_so_that_every_reader_knows_them(tmp_path, volume, dtype, stored):
    array = (HU > 0).astype(dtype)
    image = nib.load(write_nifti(tmp_path / "out.nii.gz", array, volume))
    assert image.get_data_dtype() == stored
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).transpose(2, 1, 0), array)


def test_header_says_what_it_is(tmp_path, volume):
    header = nib.load(write_nifti(tmp_path / "out.nii", HU, volume)).header
    assert header.get_xyzt_units()[0] == "mm"
    assert int(header["sform_code"]) == int(header["qform_code"]) == 1
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-5)
    assert b"not a medical device" in bytes(header["descrip"])


def test_sheared_grid_has_no_qform(tmp_path):
    slices = make_series(HU, step=(0, 1.5, 5))
    volume = read(save(tmp_path / "s", slices))
    header = nib.load(write_nifti(tmp_path / "out.nii", HU, volume)).header
    assert int(header["sform_code"]) == 1
    assert int(header["qform_code"]) == 0


def test_same_result_gives_the_same_bytes(tmp_path, volume):
    first = write_nifti(tmp_path / "a.nii.gz", HU, volume).read_bytes()
    assert first == write_nifti(tmp_path / "b.nii.gz", HU, volume).read_bytes()


def test_wrong_grid_or_name_is_an_error(tmp_path, volume):
    with pytest.raises(ValueError, match="array is"):
        write_nifti(tmp_path / "a.nii", HU[1:], volume)
    with pytest.raises(ValueError, match="ends with"):
        write_nifti(tmp_path / "a.img", HU, volume)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_failure_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch, call, code):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def fail(*_):
        raise OSError(code, "injected")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OutputFailed, match=r"a\.json could not be written") as caught:
        write_json(path, {"new": 2})
    assert caught.value.exit_code == 1
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_missing_folder_is_told(tmp_path):
    with pytest.raises(OutputFailed, match="Create it first"):
        write_json(tmp_path / "absent" / "a.json", {})


def test_full_disk_is_told(tmp_path):
    resource = pytest.importorskip("resource")
    import signal

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(OutputFailed, match="larger than allowed"):
            write.write_atomic(tmp_path / "a", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
def test_new_file_has_the_usual_mode(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    assert write_json(tmp_path / "a.json", {}).stat().st_mode == plain.stat().st_mode


def test_json_holds_numpy_and_no_nan(tmp_path):
    content = {
        "a": np.float32(1.5),
        "b": np.arange(3),
        "c": float("nan"),
        "d": (1, {"e": tmp_path}),
    }
    text = write_json(tmp_path / "a.json", content).read_text()
    assert json.loads(text) == {
        "a": 1.5,
        "b": [0, 1, 2],
        "c": None,
        "d": [1, {"e": str(tmp_path)}],
    }


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", " =", "\n"])
def test_formulas_in_csv_are_made_harmless(tmp_path, start):
    path = write_csv(
        tmp_path / "a.csv", [{"text": start + "1+1", "number": -5.5}], ["text", "number"]
    )
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows == [["text", "number"], ["'" + start + "1+1", "-5.5"]]


def test_csv_cells_are_in_the_order_asked_for(tmp_path):
    rows = [{"b": 2, "a": "x"}, {"a": None}]
    path = write_csv(tmp_path / "a.csv", rows, ["a", "b"])
    assert path.read_text() == '"a","b"\n"x",2\n"",""\n'


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_whatever_the_order_of_storage_every_voxel_keeps_its_place(tmp_path, axes):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    volume = CTVolume(np.zeros((2, 3, 4), np.int16), np.eye(4), np.zeros((2, 3)), storage_axes=axes)
    for name in ("out.nii", "out.nii.gz"):
        stored = np.asarray(nib.load(write_nifti(tmp_path / name, array, volume)).dataobj)
        np.testing.assert_array_equal(stored, array.transpose(axes))
