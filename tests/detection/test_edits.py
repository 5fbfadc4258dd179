import dataclasses

import numpy as np
import pytest

from napari_rsna_inpaint.detection import result as result_module
from napari_rsna_inpaint.detection.edits import IMAGES, Edit
from napari_rsna_inpaint.detection.planes import Planes
from napari_rsna_inpaint.detection.result import Detection, Maps
from napari_rsna_inpaint.errors import InputRefused

SHAPE = (4, 9, 8)
BOX = (slice(1, 3), slice(2, 6), slice(3, 7))


def detection_of(images):
    flat = np.zeros(SHAPE)
    maps = Maps(brain_mask=flat > -1, labels=flat.astype(np.uint16), **images)
    return Detection(maps, [], np.zeros(4, np.float32), np.ones(4, bool))


def arrays():
    noise = np.random.default_rng(0)
    return {name: noise.normal(size=SHAPE).astype(np.float32) for name in IMAGES}


@pytest.fixture(params=["arrays", "planes kept as arrays", "planes too large for the memory"])
def detection(request, monkeypatch):
    images = arrays()
    if request.param != "arrays":
        images = {
            name: Planes(SHAPE, np.float32, lambda z, y, x, array=array: array[z][y][:, x])
            for name, array in images.items()
        }
    if "large" in request.param:
        monkeypatch.setattr(result_module, "ARRAY_VOXELS", 10)
    return detection_of(images)


@pytest.fixture
def edit():
    before = {name: array[BOX].copy() for name, array in arrays().items()}
    region = np.zeros((2, 4, 4), bool)
    region[1, 1:3, 1:3] = True
    after = {name: values + np.float32(7) * region for name, values in before.items()}
    return Edit(SHAPE, BOX, region, before, after, seed=5, samples=4, model="tiny")


def check(detection, expected):
    """Maps and arrays agree, bit for bit."""
    for where in (detection.maps, detection):
        for name in IMAGES:
            np.testing.assert_array_equal(np.asarray(getattr(where, name)), expected[name])


def test_an_edit_changes_its_region_and_is_taken_back_bit_for_bit(detection, edit):
    before, after = arrays(), arrays()
    for values in after.values():
        values[2, 3:5, 4:6] += 7
    assert edit.fits(detection)
    edit.apply(detection)
    check(detection, after)
    assert edit.applied(detection)
    assert not edit.fits(detection)
    edit.revert(detection)
    check(detection, before)
    edit.apply(detection)
    check(detection, after)


def test_a_later_edit_hides_an_earlier_one_until_it_is_taken_back(detection, edit):
    edit.apply(detection)
    later = dataclasses.replace(
        edit, before=edit.after, after={name: one - 1 for name, one in edit.after.items()}
    )
    later.apply(detection)
    assert not edit.applied(detection)
    later.revert(detection)
    assert edit.applied(detection)
    edit.revert(detection)
    check(detection, arrays())


def test_arrays_are_changed_in_place_for_the_layers_that_show_them(edit):
    detection = detection_of(arrays())
    shown = {name: getattr(detection, name) for name in IMAGES}
    edit.apply(detection)
    for name in IMAGES:
        assert getattr(detection, name) is shown[name]


def test_read_only_images_are_copied(edit):
    images = arrays()
    for values in images.values():
        values.flags.writeable = False
    detection = detection_of(images)
    edit.apply(detection)
    assert edit.applied(detection)
    np.testing.assert_array_equal(images["residual"], arrays()["residual"])


def test_parts_of_patched_planes_are_those_of_the_whole(detection, edit):
    edit.apply(detection)
    for name in IMAGES:
        image = getattr(detection.maps, name)
        whole = np.asarray(image)
        for part in (np.s_[2, 4, 5], np.s_[:, 3], np.s_[1:3, ::2, 1:], np.s_[3]):
            np.testing.assert_array_equal(image[part], whole[part])


def test_an_edit_survives_as_a_file(edit, tmp_path):
    path = edit.save(tmp_path / "1.npz")
    again = Edit.load(path)
    assert (again.shape, again.box, again.slices) == (SHAPE, BOX, (2,))
    assert (again.seed, again.samples, again.model) == (5, 4, "tiny")
    np.testing.assert_array_equal(again.region, edit.region)
    for name in IMAGES:
        np.testing.assert_array_equal(again.before[name], edit.before[name])
        np.testing.assert_array_equal(again.after[name], edit.after[name])
        assert again.after[name].dtype == np.float32


@pytest.mark.parametrize("damage", ["missing", "cut", "garbled", "newer", "no archive"])
def test_a_damaged_file_is_refused(edit, tmp_path, damage, monkeypatch):
    path = tmp_path / "1.npz"
    if damage == "newer":
        monkeypatch.setattr("napari_rsna_inpaint.detection.edits.SCHEMA", 99)
    if damage != "missing":
        edit.save(path)
    monkeypatch.undo()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "garbled":
        content = bytearray(path.read_bytes())
        content[60:90] = bytes(30)
        path.write_bytes(content)
    elif damage == "no archive":
        path.write_bytes(b"hello")
    with pytest.raises(InputRefused, match="re-inpaint it anew"):
        Edit.load(path)


def test_an_edit_of_another_scan_is_refused(edit):
    detection = detection_of(arrays())
    other = dataclasses.replace(edit, shape=(4, 9, 9))
    assert not other.applied(detection)
    with pytest.raises(InputRefused, match="belongs to a scan"):
        other.apply(detection)
