"""Brain mask: the intracranial space of a head CT."""

from napari_rsna_inpaint.brain.mask import brain_mask, packed_brain_mask
from napari_rsna_inpaint.brain.packed import PackedMask

__all__ = ["PackedMask", "brain_mask", "packed_brain_mask"]
