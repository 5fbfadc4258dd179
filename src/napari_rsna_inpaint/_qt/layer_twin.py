"""A layer in a second view that shows the data of another layer in the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt
from napari.components import Dims
from napari.layers import Image, Labels, Layer
from napari.utils.events import disconnect_events

_OF_ALL = ("visible", "opacity", "blending", "scale", "translate", "rotate", "shear", "affine")
# The range comes first: napari clips the limits to it.
_OF_IMAGES = ("contrast_limits_range", "contrast_limits", "gamma", "colormap", "interpolation2d")
_OF_LABELS = ("colormap", "contour", "selected_label", "show_selected_label")
_NOT_SHOWN = ("features", "properties")


def can_have_twin(layer: Layer) -> bool:
    """Whether a layer is a volume: images and labels with three axes; no shapes or points."""
    return isinstance(layer, Image | Labels) and layer.ndim == 3


class LayerTwin:
    """The layer for the second view; it follows its source until it is closed.

    Changes of how the layer is drawn are taken over at once. Changes of its data only make
    the twin stale, because they may come faster than they can be drawn.

    Parameters
    ----------
    source
        The layer to follow; data are shared, not copied.
    dims
        What of the source is shown in its own viewer.
    world
        ``(4, 4)`` from the world of that viewer to the world of the second view.
    on_stale
        Called when the data changed, and when the source is shown or hidden.

    Attributes
    ----------
    layer
        The layer for the second view.
    stale
        Whether the data changed since the last `refresh`.
    """

    def __init__(
        self,
        source: Layer,
        dims: Dims,
        world: npt.NDArray,
        on_stale: Callable[[], None],
    ) -> None:
        self._source = source
        self._dims = dims
        self._world = world
        self._on_stale = on_stale
        self._point: tuple[float, ...] | None = None
        data, state, kind = source.as_layer_data_tuple()
        for name in _NOT_SHOWN:
            state.pop(name, None)
        self.layer = Layer.create(data, state, kind)
        self.layer.editable = False
        self.stale = False

        of_kind = _OF_LABELS if isinstance(source, Labels) else _OF_IMAGES
        for name in (*_OF_ALL, *of_kind):
            self._copy(name)
            getattr(source.events, name).connect(self._on_look)
        source.events.data.connect(self._on_data)
        source.events.set_data.connect(self._on_drawn)
        if isinstance(source, Labels):
            source.events.labels_update.connect(self._on_data)
            source.events.paint.connect(self._on_data)

    def refresh(self) -> None:
        """Show the present data of the source."""
        self.stale = False
        if self.layer.data is not self._source.data:
            self.layer.data = self._source.data
        else:
            self.layer.refresh(thumbnail=False, extent=False)

    def close(self) -> None:
        """Follow no longer."""
        disconnect_events(self._source.events, self)

    def _copy(self, name: str) -> None:
        value = getattr(self._source, name)
        if name == "affine":
            value = self._world @ value.affine_matrix
        setattr(self.layer, name, value)

    def _on_look(self, event: Any) -> None:
        self._copy(event.type)
        if event.type == "visible":
            self._on_stale()

    def _on_data(self, _event: Any = None) -> None:
        self.stale = True
        self._on_stale()

    def _on_drawn(self, _event: Any) -> None:
        # Moving in the viewer of the source draws it anew too, but then its data are the same.
        moved, self._point = self._dims.point != self._point, self._dims.point
        if not moved:
            self._on_data()
