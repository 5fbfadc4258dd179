"""The picture of a re-inpainted region before it is accepted: a small layer over the CT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Layer
from napari.utils.colormaps import Colormap
from napari.viewer import Viewer

from napari_rsna_inpaint._qt.layers import geometry, layer_volume
from napari_rsna_inpaint.detection.findings import Box

if TYPE_CHECKING:
    # It loads torch; that takes seconds and must not happen in the window.
    from napari_rsna_inpaint.detection.region import Reinpainting

PREVIEW = "Preview"
#: What can be looked at, and what it is called.
VIEWS = {
    "completion": "Completion",
    "spread": "Spread, 0 to 20 HU",
    "minimum": "Min. distance, 0 to 20 HU",
}
#: Fixed display range of the spread and of the minimum completion distance, HU.
LIMITS_HU = (0.0, 20.0)

FloatArray = npt.NDArray[np.float32]


class RegionPreview:
    """Shows the completions of one region as they come; to be used in the main thread only.

    Parameters
    ----------
    viewer
        Where to show it.
    source
        Layer of the CT.
    box
        Part of the series that is shown: what holds the region.
    under
        Layer that is to stay above it.
    """

    def __init__(self, viewer: Viewer, source: Image, box: Box, under: Layer | None = None) -> None:
        self._viewer = viewer
        self._source = source
        self._box = box
        self._under = under
        self._original = source.data[box].astype(np.float32)
        self._completions: list[FloatArray] = []
        self._differences: dict[str, FloatArray] = {}
        self._shown = ("completion", 0)
        self.layer: Image | None = None

    @property
    def count(self) -> int:
        """Completions that are there."""
        return len(self._completions)

    @property
    def open(self) -> bool:
        """Whether its layer is there."""
        return self.layer is not None and self.layer in self._viewer.layers

    def add(self, slices: tuple[int, ...], completion: FloatArray) -> None:
        """Take in a completion ``(z, y, x)`` of some slices, HU, and show it."""
        self._completions.append(self._cropped(slices, completion, self._original))
        self.show(*self._shown)

    def finish(self, result: Reinpainting) -> None:
        """Take in what all completions together say."""
        nothing = np.zeros_like(self._original)
        for view, image in (("spread", result.spread), ("minimum", result.minimum_distance_hu)):
            self._differences[view] = self._cropped(result.slices, image, nothing)

    def show(self, view: str, number: int) -> None:
        """Show one of `VIEWS`; of the completions number 1, 2 ... or, for 0, their mean so far."""
        self._shown = (view, number)
        if view == "completion":
            one = self._completions[number - 1 : number]
            image = np.stack(one or self._completions).mean(0)
        else:
            image = self._differences[view]
        if self.layer is None:
            self._add_layer(image)
        elif self.open:
            if view == "completion":
                self.layer.colormap = "gray"
                self.layer.contrast_limits = self._source.contrast_limits
            else:
                self.layer.colormap = _teal()
                self.layer.contrast_limits = LIMITS_HU
            self.layer.data = image

    def remove(self) -> None:
        """Take the layer away."""
        if self.layer is not None and self.open:
            self._viewer.layers.remove(self.layer)

    def _cropped(
        self, slices: tuple[int, ...], image: FloatArray, background: FloatArray
    ) -> FloatArray:
        depth, y, x = self._box
        cropped = background.copy()
        cropped[[z - depth.start for z in slices]] = image[:, y, x]
        return cropped

    def _add_layer(self, image: FloatArray) -> None:
        layer = Image(image, **self._options())
        layers = self._viewer.layers
        active = layers.selection.active
        top = layers.index(self._under) if self._under in layers else len(layers)
        layers.insert(top, layer)
        layers.selection.active = active
        self.layer = layer

    def _options(self) -> dict[str, Any]:
        """Geometry of the series, moved to the box."""
        volume = layer_volume(self._source)
        assert volume is not None
        options = geometry(volume)
        start = np.array([side.start for side in self._box])
        return {
            **options,
            "translate": tuple(np.array(options["translate"]) + start * options["scale"]),
            "name": PREVIEW,
            "colormap": "gray",
            "contrast_limits": self._source.contrast_limits,
            "interpolation2d": self._source.interpolation2d,
        }


def _teal() -> Colormap:
    """From dark to bright teal; 0, which is outside the region, is clear."""
    stops = np.array([[0, 0.1, 0.15, 0], [0, 0.1, 0.15, 1], [0, 0.6, 0.6, 1], [0.9, 1, 0.95, 1]])
    return Colormap(stops, controls=[0, 0.001, 0.5, 1], name="teal", display_name="teal")
