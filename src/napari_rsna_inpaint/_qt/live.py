"""The result layers of one detection, from the first finished slice to the end."""

from __future__ import annotations

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer

from napari_rsna_inpaint._qt.findings_view import slim_labels
from napari_rsna_inpaint._qt.layers import (
    RESULT_NAMES,
    LayerData,
    findings_layer,
    is_ct,
    layer_volume,
    mask_layer,
    running_layers,
)
from napari_rsna_inpaint.detection.result import Detection, Maps, SliceResult
from napari_rsna_inpaint.volume import CTVolume

#: Layers that a running detection fills, and what of its maps they show.
_IMAGES = {"Inpainted": "inpainted", "Residual": "residual", "Heatmap": "heatmap"}
#: Of the legend on the canvas, in pixels.
_BAR_SIZE = (8, 90)
_BAR_COLOUR = "#90a4ae"


class LiveResult:
    """Shows one detection in a viewer; to be used in the main thread only.

    A layer that the user removed meanwhile is left alone, and nothing is shown any more
    once the CT itself is gone or shows other data.
    """

    def __init__(self, viewer: Viewer, source: Image) -> None:
        volume = layer_volume(source)
        assert volume is not None
        self._viewer = viewer
        self._source = source
        self.volume: CTVolume = volume
        self._layers: dict[str, Layer] = {}

    @property
    def wanted(self) -> bool:
        """Whether the CT that the job was started for is still there."""
        return self._source in self._viewer.layers and is_ct(self._source)

    def begin(self) -> None:
        """Replace results of an earlier run on the same CT by empty layers."""
        for layer in list(self._viewer.layers):
            if layer_volume(layer) is self.volume and layer.name.startswith(RESULT_NAMES):
                self._viewer.layers.remove(layer)
        for data in running_layers(self.volume):
            self._add(data)
        self._viewer.layers.selection.active = self._source

    def update(self, part: SliceResult) -> None:
        """Show one more finished slice."""
        if not self.wanted:
            return
        self._show(part.maps)
        for name in _IMAGES:
            layer = self._layers[name]
            if layer in self._viewer.layers and layer.visible and self._shows(part.index):
                layer.refresh(thumbnail=False, extent=False)

    def _show(self, maps: Maps | Detection) -> None:
        """Let the layers show other images."""
        for name, attribute in _IMAGES.items():
            layer, values = self._layers[name], getattr(maps, attribute)
            if layer in self._viewer.layers and layer.data is not values:
                layer.data = values

    def _shows(self, index: int) -> bool:
        dims = self._viewer.dims
        if 0 in dims.displayed:
            return True
        return round(self._source.world_to_data(dims.point)[0]) == index

    def finish(self, detection: Detection) -> None:
        """Show the final arrays, the brain mask and the findings."""
        if not self.wanted:
            return
        images = detection if detection.fits_memory else detection.maps
        self._show(images)
        self._add(mask_layer(self.volume, images.brain_mask))
        self._add(findings_layer(self.volume, slim_labels(detection)))
        self._viewer.layers.selection.active = self._source

    def discard(self) -> None:
        """Take the layers away again."""
        for layer in self._layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _add(self, data: LayerData) -> None:
        layer = Layer.create(*data)
        if isinstance(layer, Labels):
            layer.contour = 1
            layer.editable = False
        elif layer.name in ("Heatmap", "Residual"):
            bar = layer.colorbar
            bar.size, bar.tick_length, bar.font_size = _BAR_SIZE, 3, 8
            bar.color, bar.visible = _BAR_COLOUR, True
        name = layer.name
        self._viewer.layers.append(layer)
        self._layers[name] = layer


def middle_of_brain(volume: CTVolume) -> int:
    """Slice in the middle of those that show much soft tissue of brain density."""
    coarse = volume.hu[:, ::4, ::4]
    tissue = ((coarse > 15) & (coarse < 50)).sum(axis=(1, 2))
    return int(np.median(np.flatnonzero(tissue >= tissue.max() / 2)))
