"""Sample data: simulated heads, so that anyone may see and show them."""

from __future__ import annotations

from napari_rsna_inpaint._qt.layers import LayerData, ct_layer
from napari_rsna_inpaint.evaluate.phantom import head_phantom


def healthy() -> list[LayerData]:
    """Return a healthy head."""
    return [ct_layer(head_phantom(seed=1).volume)]


def bleed() -> list[LayerData]:
    """Return a head with an acute bleed in the right basal ganglia."""
    return [ct_layer(head_phantom(seed=1, bleed="intraparenchymal").volume)]
