import struct
import zipfile

import numpy as np
import pytest
from dicom_head import judge, make_series, plastic_head, save

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io import archive, inspect, read

HU = plastic_head()


@pytest.fixture
def series(tmp_path):
    return save(tmp_path / "series", make_series(HU))


def pack(path, folder, extra=(), compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for source in sorted(folder.iterdir()):
            file.write(source, f"study/{source.name}")
        for name, content in extra:
            file.writestr(name, content)
    return path


def test_zip_is_read_like_its_folder(tmp_path, series):
    volume = judge(pack(tmp_path / "s.zip", series, [("readme.txt", "hello")]))
    np.testing.assert_array_equal(volume.hu, HU)
    assert inspect(tmp_path / "s.zip")["skipped"] == [
        {"path": "readme.txt", "reason": "not a DICOM file"}
    ]


def test_zip_without_the_usual_name_is_recognised(tmp_path, series):
    np.testing.assert_array_equal(read(pack(tmp_path / "download", series)).hu, HU)


def test_names_that_climb_out_write_nothing(tmp_path, series):
    content = (series / "f000").read_bytes()
    names = ["../../evil", "/tmp/evil-absolute", "C:\\evil"]
    box = tmp_path / "box"
    box.mkdir()
    path = pack(box / "s.zip", series, [(name, content) for name in names])
    read(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["box", "series"]
    assert [p.name for p in box.iterdir()] == ["s.zip"]


def test_links_inside_are_skipped(tmp_path, series):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    path = pack(tmp_path / "s.zip", series, [(entry, "/etc/passwd")])
    assert inspect(path)["skipped"][0]["reason"].startswith("symbolic link")


def test_bomb_is_refused(tmp_path, series):
    path = pack(tmp_path / "s.zip", series, [("bomb", bytes(5 * 2**20))])
    with pytest.raises(InputRefused, match="zip bomb"):
        read(path)


def test_blank_slices_are_no_bomb(tmp_path):
    blank = np.full((2, 512, 512), -1024, np.int16)
    folder = save(tmp_path / "blank", make_series(blank))
    assert read(pack(tmp_path / "s.zip", folder)).hu.shape == blank.shape


def test_lying_sizes_are_caught(tmp_path, series):
    path = pack(tmp_path / "s.zip", series)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<L", 100)
    path.write_bytes(content)
    entry = inspect(path)["skipped"][0]
    assert entry["path"] == "study/f000"


@pytest.mark.parametrize("limit", ["MAX_ENTRIES", "MAX_BYTES"])
def test_limits(tmp_path, series, monkeypatch, limit):
    monkeypatch.setattr(archive, limit, 3)
    with pytest.raises(InputRefused, match="Pack one study only"):
        read(pack(tmp_path / "s.zip", series))


def test_nested_encrypted_and_damaged_are_refused(tmp_path, series):
    with pytest.raises(InputRefused, match="another archive"):
        read(pack(tmp_path / "a.zip", series, [("inner.ZIP", b"PK")]))
    path = pack(tmp_path / "b.zip", series)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputRefused, match="encrypted"):
        read(path)
    path = pack(tmp_path / "c.zip", series)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputRefused):
        read(path)


def test_damaged_entry_is_left_out(tmp_path, series):
    path = pack(tmp_path / "s.zip", series, compression=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[600] ^= 255
    path.write_bytes(content)
    assert read(path).hu.shape[0] == len(HU) - 1
