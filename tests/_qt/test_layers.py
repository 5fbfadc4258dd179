from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_rsna_inpaint._qt import layers, tilt
from napari_rsna_inpaint._qt.findings_list import entries
from napari_rsna_inpaint._qt.findings_view import colour, key_voxel, slim_labels
from napari_rsna_inpaint.detection.result import (
    HEATMAP_LIMITS,
    RESIDUAL_LIMITS_HU,
    Detection,
)
from napari_rsna_inpaint.evaluate.phantom import Phantom
from napari_rsna_inpaint.learning.apply import Rescored, Rescoring
from napari_rsna_inpaint.store import Verdict
from napari_rsna_inpaint.volume import CTVolume


def flipped(volume: CTVolume, axes: tuple[int, ...]) -> CTVolume:
    """The same patient stored with some array axes the other way round."""
    affine = volume.affine.copy()
    for axis in axes:
        affine[:3, 3] += (volume.hu.shape[axis] - 1) * affine[:3, axis]
        affine[:3, axis] *= -1
    steps = np.arange(volume.hu.shape[0])[:, None]
    return replace(
        volume,
        hu=np.flip(volume.hu, axes).copy(),
        affine=affine,
        positions=affine[:3, 3] + steps * affine[:3, 0],
    )


def tilted(volume: CTVolume, degrees: float) -> CTVolume:
    """The same array with gantry tilt: slices shifted against each other along y."""
    affine = volume.affine.copy()
    affine[1, 0] = np.tan(np.deg2rad(degrees)) * affine[2, 0]
    steps = np.arange(volume.hu.shape[0])[:, None]
    return replace(volume, affine=affine, positions=affine[:3, 3] + steps * affine[:3, 0])


def every_layer(phantom: Phantom, detection: Detection) -> list[layers.LayerData]:
    volume = phantom.volume
    return [
        layers.ct_layer(volume),
        *layers.running_layers(volume),
        layers.mask_layer(volume, phantom.brain_mask),
        layers.findings_layer(volume, detection.labels),
    ]


@pytest.mark.parametrize(
    "axes", [axes for n in range(4) for axes in set(product((0, 1, 2), repeat=n))][:12]
)
def test_head_is_up_and_right_is_left_however_the_array_is_stored(
    phantom: Phantom, axes: tuple[int, ...]
) -> None:
    volume = flipped(phantom.volume, tuple(sorted(set(axes))))
    layer = Layer.create(*layers.ct_layer(volume))
    for index in ((0, 0, 0), (3, 50, 11)):
        x, y, z = volume.to_patient(index)
        assert np.allclose(layer.data_to_world(index), (-z, y, x), atol=1e-6)
    assert layer.data is volume.hu


def test_tilt_is_not_shown_as_shear_but_the_truth_is_kept(phantom: Phantom) -> None:
    volume = tilted(phantom.volume, 20)
    layer = Layer.create(*layers.ct_layer(volume))
    assert np.allclose(layer.scale, (-volume.spacing[0], 2.4, 2.4))
    assert np.allclose(layer.affine.affine_matrix, np.eye(4))
    kept = layers.layer_volume(layer)
    assert kept is not None
    assert np.array_equal(kept.affine, volume.affine)
    x, y, z = volume.to_patient((3.5, 47.5, 47.5))
    assert np.allclose(layer.data_to_world((3.5, 47.5, 47.5)), (-z, y, x))


def test_letters_come_from_the_affine(phantom: Phantom) -> None:
    straight = [("H", "F"), ("A", "P"), ("R", "L")]
    for axes in ((), (0, 1), (0, 2), (1, 2)):
        assert layers.end_letters(flipped(phantom.volume, axes)) == straight
    # A little tilt is not worth a second letter.
    assert layers.end_letters(tilted(phantom.volume, 15)) == straight
    assert layers.end_letters(tilted(phantom.volume, 25)) == [("Hp", "Fa"), *straight[1:]]
    turned = replace(phantom.volume, affine=nodding(30) @ phantom.volume.affine)
    assert layers.end_letters(turned) == [("Ha", "Fp"), ("Af", "Ph"), ("R", "L")]


def nodding(degrees: float) -> np.ndarray:
    """Turn about the left-right axis: the front goes down."""
    matrix = np.eye(4)
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix[1:3, 1:3] = [[c, -s], [s, c]]
    return matrix


@pytest.mark.parametrize("hidden", [1, 2])
@pytest.mark.parametrize("axes", [(), (0, 2), (0, 1)])
def test_across_the_slices_distances_are_those_of_the_patient(
    phantom: Phantom, axes: tuple[int, ...], hidden: int
) -> None:
    volume = flipped(tilted(phantom.volume, 24), axes)
    layer = Layer.create(*layers.ct_layer(volume))
    matrix = tilt.upright(volume, hidden)
    corners = [(0, 0, 0), (7, 0, 0), (7, 95, 0), (7, 0, 95)]
    shown = np.array([matrix @ (*layer.data_to_world(corner), 1) for corner in corners])
    x, y, z = np.transpose(volume.to_patient(corners))
    for axis, place in enumerate((-z, y, x)):
        in_plane = [corner for corner in range(4) if corners[corner][hidden] == 0]
        if axis != hidden:
            moved = shown[in_plane, axis] - shown[0, axis]
            assert np.allclose(moved, place[in_plane] - place[0])
    assert np.allclose(shown[:, hidden], [layer.data_to_world(c)[hidden] for c in corners])
    assert tilt.upright_letters(volume) == [("H", "F"), ("A", "P"), ("R", "L")]
    assert np.array_equal(tilt.upright(phantom.volume, hidden), np.eye(4))


def test_all_layers_share_world_units_and_have_their_names(
    phantom: Phantom, detection: Detection, caplog: pytest.LogCaptureFixture
) -> None:
    viewer = ViewerModel()
    for data in every_layer(phantom, detection):
        viewer.layers.append(Layer.create(*data))
    assert [layer.name for layer in viewer.layers] == [
        "CT",
        "Inpainted",
        "Residual",
        "Heatmap",
        "Brain mask",
        "Findings",
    ]
    assert {str(unit) for unit in viewer.layers.units} == {"millimeter"}
    for layer in viewer.layers:
        assert np.allclose(layer.scale, (-5.0, 2.4, 2.4))
        assert np.allclose(layer.translate, viewer.layers[0].translate)
        assert layers.layer_volume(layer) is phantom.volume
    assert "nconsistent" not in caplog.text


def test_display_ranges_are_fixed_not_taken_from_the_image(
    phantom: Phantom, detection: Detection
) -> None:
    by_name = {data[1]["name"]: Layer.create(*data) for data in every_layer(phantom, detection)}
    assert tuple(by_name["CT"].contrast_limits) == (0, 80)
    assert tuple(by_name["Residual"].contrast_limits) == RESIDUAL_LIMITS_HU
    assert tuple(by_name["Heatmap"].contrast_limits) == HEATMAP_LIMITS
    for name in ("Heatmap", "Residual"):
        layer = by_name[name]
        low, high = layer.contrast_limits
        clear = layer.colormap.map(np.array([(0 - low) / (high - low)]))
        assert clear[0, 3] == pytest.approx(0, abs=0.02), f"{name} tints what is normal"


def test_findings_carry_what_a_reader_asks_for(phantom: Phantom, detection: Detection) -> None:
    layer = Layer.create(*layers.findings_layer(phantom.volume, slim_labels(detection)))
    verdict = Verdict("F1", "rejected", "streak", "", "anna", "", 1)
    listed = entries(
        detection,
        [],
        lambda finding: layers.side(finding, detection, phantom.volume),
        {"F1": verdict},
        further=False,
        rescoring=None,
    )
    colour(layer, listed)
    row = layer.features.set_index("index").loc[1]
    assert (row["id"], row["sign"], row["score"], row["volume_ml"]) == ("F1", "hyper", 7.5, 5.0)
    assert (row["verdict"], row["reason"]) == ("rejected", "streak")
    x_index = np.argwhere(phantom.lesion_mask)[:, 2].mean()
    assert row["side"] == ("right" if x_index < 47.5 else "left")
    z, y, x = key_voxel(layer.data, listed[0])
    areas = phantom.lesion_mask.sum(axis=(1, 2))
    assert areas[z] == areas.max()
    assert phantom.lesion_mask[z, y - 1 : y + 2, x - 1 : x + 2].any()


def test_what_was_learned_sets_order_and_what_is_listed(detection: Detection) -> None:
    first = detection.findings[0]
    detection.findings = [first, replace(first, id="F2", score=0.9)]
    detection.further = [replace(first, id="F3", score=0.4), replace(first, id="F4", score=0.3)]
    learned = Rescoring(
        scores=tuple(Rescored(f"F{n}", 0.0, new) for n, new in enumerate((0.2, 0.9, 0.8, 0.1), 1)),
        order=("F2", "F3"),
        fallen=("F1",),
        risen=("F3",),
    )

    def listed(**options: Any) -> list[str]:
        found = entries(detection, [], lambda _: "", {}, **options)
        assert [one.label for one in found] == [int(one.id[1:]) for one in found]
        return [one.id for one in found]

    assert listed(further=False, rescoring=None) == ["F1", "F2"]
    assert listed(further=True, rescoring=None) == ["F1", "F2", "F3", "F4"]
    assert listed(further=False, rescoring=learned) == ["F2", "F3"]
    assert listed(further=True, rescoring=learned) == ["F2", "F3", "F1", "F4"]
    detection.findings = [replace(first, id=f"F{n}") for n in range(1, 8)]
    detection.further = []
    assert len(listed(further=False, rescoring=None)) == 5
    assert len(listed(further=True, rescoring=None)) == 7


def test_a_ct_whose_data_were_replaced_is_no_longer_ours(phantom: Phantom) -> None:
    layer = Layer.create(*layers.ct_layer(phantom.volume))
    assert layers.is_ct(layer)
    layer.data = phantom.volume.hu + 1
    assert not layers.is_ct(layer)
