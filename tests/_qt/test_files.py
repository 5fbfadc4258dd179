from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from napari.layers import Layer

from napari_rsna_inpaint._qt import layers, reader, samples
from napari_rsna_inpaint._qt.writer import write_nifti_layer
from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused, RsnaInpaintError
from napari_rsna_inpaint.evaluate.phantom import Phantom
from napari_rsna_inpaint.io.write import nifti_affine


@pytest.mark.parametrize("name", ["a.nii.gz", "a.NII", "study.zip", "x.dcm"])
def test_known_endings_are_ours(tmp_path: Path, name: str) -> None:
    assert reader.get_reader(str(tmp_path / name)) is not None


def test_other_files_are_left_to_other_readers(tmp_path: Path) -> None:
    picture = tmp_path / "picture"
    picture.write_bytes(b"\x89PNG" + bytes(200))
    assert reader.get_reader(str(picture)) is None
    assert reader.get_reader(str(tmp_path / "missing.png")) is None
    assert reader.get_reader([str(tmp_path)]) is None


def test_exported_dicom_without_extension_is_ours(tmp_path: Path) -> None:
    file = tmp_path / "IM0001"
    file.write_bytes(bytes(128) + b"DICM" + bytes(8))
    assert reader.get_reader(str(file)) is reader.read_layers


def test_an_empty_folder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    read = reader.get_reader(str(tmp_path))
    assert read is not None
    with pytest.raises(InputRefused):
        read(str(tmp_path))


@pytest.fixture
def two_volumes(tmp_path: Path, phantom: Phantom) -> str:
    path = str(tmp_path / "two.nii.gz")
    first = phantom.volume.hu.T
    image = nibabel.Nifti1Image(np.stack([first, first + 1], -1), nifti_affine(phantom.volume))
    nibabel.save(image, path)
    return path


def test_without_a_window_the_choice_is_left_to_the_caller(two_volumes: str) -> None:
    with pytest.raises(ChoiceNeeded):
        reader.read_layers(two_volumes)


@pytest.mark.gui
@pytest.mark.parametrize("accepted", [True, False])
def test_in_a_window_the_person_is_asked(
    make_napari_viewer: Callable,
    two_volumes: str,
    phantom: Phantom,
    monkeypatch: pytest.MonkeyPatch,
    accepted: bool,
) -> None:
    from qtpy.QtWidgets import QInputDialog

    make_napari_viewer()
    monkeypatch.setattr(QInputDialog, "getItem", lambda *arguments: (arguments[3][1], accepted))
    data = reader.read_layers(two_volumes)
    if accepted:
        assert np.array_equal(data[0][0], phantom.volume.hu + 1)
    else:
        assert data == []


def test_what_is_written_comes_back_where_it_was(tmp_path: Path, phantom: Phantom) -> None:
    path = str(tmp_path / "ct.nii.gz")
    layer = Layer.create(*layers.ct_layer(phantom.volume))
    data, meta, _ = layer.as_layer_data_tuple()
    assert write_nifti_layer(path, data, meta) == [path]
    ((again, options, kind),) = reader.read_layers(path)
    assert kind == "image"
    assert np.array_equal(again, phantom.volume.hu)
    assert np.allclose(options["translate"], meta["translate"], atol=1e-3)
    assert np.allclose(options["scale"], meta["scale"], atol=1e-4)


def test_labels_are_written_on_the_true_affine(tmp_path: Path, phantom: Phantom) -> None:
    path = str(tmp_path / "mask.nii.gz")
    layer = Layer.create(*layers.mask_layer(phantom.volume, phantom.brain_mask))
    data, meta, _ = layer.as_layer_data_tuple()
    write_nifti_layer(path, data, meta)
    image = nibabel.load(path)
    index = np.argwhere(phantom.brain_mask)[100]
    assert image.dataobj[tuple(index[::-1])] == 1
    x, y, z = phantom.volume.to_patient(index)
    assert np.allclose(image.affine @ [*index[::-1], 1], [-x, -y, z, 1], atol=1e-3)


def test_a_layer_of_unknown_place_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.nii"
    with pytest.raises(RsnaInpaintError, match="position"):
        write_nifti_layer(str(path), np.zeros((2, 3, 4)), {"name": "x", "metadata": {}})
    assert not path.exists()


def test_the_samples_differ_by_a_bleed_only() -> None:
    ((healthy, _, _),) = samples.healthy()
    ((bled, _, _),) = samples.bleed()
    assert healthy.shape == bled.shape
    differs = np.abs(healthy - bled) > 15
    assert 300 < differs.sum() < 20_000


@pytest.mark.gui
def test_napari_finds_sample_writer_and_reader(
    make_napari_viewer: Callable, tmp_path: Path
) -> None:
    plugin = "napari-rsna-inpaint"
    viewer = make_napari_viewer()
    (sample,) = viewer.open_sample(plugin, "bleed")
    assert sample.name == "CT"
    assert tuple(sample.contrast_limits) == (0, 80)
    path = str(tmp_path / "head.nii.gz")
    assert viewer.layers.save(path, plugin=plugin) == [path]
    (again,) = viewer.open(path, plugin=plugin)
    assert np.array_equal(again.data, sample.data)
    assert np.allclose(again.extent.world, sample.extent.world, atol=1e-3)
    assert layers.is_ct(again)
