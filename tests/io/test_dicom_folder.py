import os
import socket
import zlib

import numpy as np
import pytest
from dicom_head import codes, judge, make_series, plastic_head, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused
from napari_rsna_inpaint.io import inspect, read

HU = plastic_head()


def reasons(path):
    return {entry["path"]: entry["reason"] for entry in inspect(path)["skipped"]}


def test_anything_else_in_the_folder_is_left_out_with_a_reason(tmp_path):
    folder = save(tmp_path / "study" / "deep" / "series", make_series(HU))
    extra = make_series(np.stack([HU[0]] * 5), origin=(0, 0, 0))
    extra[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    extra[1].SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    extra[2].Modality = "SR"
    extra[3].BitsAllocated = extra[3].BitsStored = 8
    extra[3].HighBit = 7
    extra[3].PixelData = bytes(HU[0].size)
    del extra[3].RescaleSlope
    del extra[4].PixelData
    save(tmp_path / "study", extra, ["scout", "capture", "report", "picture", "empty"])
    (tmp_path / "study" / "notes.txt").write_text("not an image")
    (tmp_path / "study" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + bytes(20))
    (tmp_path / "study" / "nothing").touch()
    volume = judge(tmp_path / "study")
    np.testing.assert_array_equal(volume.hu, HU)
    found = reasons(tmp_path / "study")
    assert found["scout"] == "localizer"
    assert found["capture"] == "secondary capture"
    assert found["report"] == "not an image (structured report)"
    assert "8-bit" in found["picture"]
    assert "without pixel data" in found["empty"]
    assert found["notes.txt"] == "not a DICOM file"
    assert found["nothing"] == "not a DICOM file"
    assert "DICOMDIR" in found
    assert folder.name == "series"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_links_pipes_and_sockets_are_never_opened(tmp_path):
    folder = save(tmp_path / "s", make_series(HU))
    os.symlink(folder, folder / "loop")
    os.symlink(folder / "f000", folder / "link")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        old = os.getcwd()
        os.chdir(folder)
        try:
            server.bind("socket")
        finally:
            os.chdir(old)
        assert judge(folder).notes == ()
        assert set(reasons(folder)) == {"loop", "link", "pipe", "socket"}


def test_several_series_are_asked_about_and_picked_by_uid(tmp_path):
    save(tmp_path / "a", make_series(HU, series="1.2.30"))
    save(tmp_path / "b", make_series(HU[:3], series="1.2.31"))
    with pytest.raises(ChoiceNeeded) as caught:
        read(tmp_path)
    first, second = sorted(caught.value.choices)
    assert first == "1.2.30  HEAD 5mm  6 slices  5 mm  kernel H31"
    assert second.startswith("1.2.31  HEAD 5mm  3 slices")
    assert read(tmp_path, "1.2.31").hu.shape[0] == 3
    with pytest.raises(ChoiceNeeded):
        read(tmp_path, "1.2.3")
    with pytest.raises(InputRefused, match="None of the 2 series"):
        read(tmp_path, "9.9")
    assert {row["outcome"] for row in inspect(tmp_path)["series"]} == {"ok"}


def test_unique_beginning_of_a_uid_is_enough(tmp_path):
    save(tmp_path / "a", make_series(HU, series="1.2.30"))
    save(tmp_path / "b", make_series(HU[:3], series="1.5.31"))
    assert read(tmp_path, "1.5").hu.shape[0] == 3


def test_patients_are_never_joined(tmp_path):
    slices = make_series(HU)
    for ds in slices[3:]:
        ds.PatientID = "someone-else"
    folder = save(tmp_path / "s", slices)
    with pytest.raises(ChoiceNeeded) as caught:
        read(folder)
    assert sorted(choice.split()[0] for choice in caught.value.choices) == ["1.2.3#1", "1.2.3#2"]
    assert read(folder, "1.2.3#1").hu.shape[0] == 3


@pytest.mark.parametrize("modality", ["MR", "PT", "NM"])
def test_other_modalities_are_refused(tmp_path, modality):
    slices = make_series(HU)
    for ds in slices:
        ds.Modality = modality
    result = judge(save(tmp_path / "s", slices))
    assert isinstance(result, InputRefused)
    assert modality in str(result)
    save(tmp_path / "s" / "ct", make_series(HU, series="1.9"))
    np.testing.assert_array_equal(read(tmp_path / "s").hu, HU)


def test_missing_modality_is_refused_unless_the_class_says_ct(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        del ds.Modality
    assert judge(save(tmp_path / "a", slices)).hu.shape == HU.shape
    for ds in slices:
        ds.SOPClassUID = "1.2.3.4"
    assert judge(save(tmp_path / "b", slices)).code == "wrong-modality"


def test_other_body_part_is_asked_about(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        ds.BodyPartExamined = "CHEST"
    folder = save(tmp_path / "s", slices)
    question = judge(folder)
    assert question.code == "not-head"
    assert codes(read(folder, "1.2.3#as-is")) == ["not-head"]


def test_file_without_preamble_is_read(tmp_path):
    folder = save(tmp_path / "s", make_series(HU))
    for file in folder.iterdir():
        content = file.read_bytes()
        meta = 144 + int.from_bytes(content[140:144], "little")
        file.write_bytes(content[meta:])
    np.testing.assert_array_equal(judge(folder).hu, HU)


@pytest.mark.parametrize("content", [b"", b"\0" * 4000, b"\x08\0\x05\0" + b"\xff" * 500])
def test_rubbish_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputRefused, match="No CT slices found"):
        read(tmp_path / "file")
    assert inspect(tmp_path)["series"] == []


def test_missing_path_and_empty_folder(tmp_path):
    with pytest.raises(InputRefused, match="no such file"):
        read(tmp_path / "absent")
    with pytest.raises(InputRefused, match="no such file"):
        inspect(tmp_path / "absent")
    with pytest.raises(InputRefused, match="empty"):
        read(tmp_path)


def test_deep_nesting_is_survived(tmp_path):
    ds = make_series(HU[:1])[0]
    inner = Dataset()
    for _ in range(600):
        outer = Dataset()
        outer.add_new("ReferencedImageSequence", "SQ", Sequence([inner]))
        inner = outer
    # Written by hand, for the writer itself would not survive it.
    open_item = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    folder = save(tmp_path / "s", [ds])
    content = (folder / "f000").read_bytes()
    meta = 144 + int.from_bytes(content[140:144], "little")
    (folder / "f000").write_bytes(content[:meta] + 3000 * open_item)
    with pytest.raises(InputRefused, match="nested too deeply"):
        read(folder)


def test_deflated_bomb_is_refused(tmp_path):
    ds = make_series(HU[:1])[0]
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    folder = save(tmp_path / "s", [ds])
    content = (folder / "f000").read_bytes()
    meta = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(wbits=-15)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(100)) + packer.flush()
    (folder / "f000").write_bytes(content[:meta] + bomb)
    with pytest.raises(InputRefused, match="grows beyond 64 MiB"):
        read(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads anything")
def test_unreadable_file_is_refused(tmp_path):
    folder = save(tmp_path / "s", make_series(HU))
    (folder / "f000").chmod(0)
    with pytest.raises(InputRefused, match="permissions"):
        read(folder / "f000")
