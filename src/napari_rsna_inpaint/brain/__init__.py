"""Brain mask: the intracranial space of a head CT."""

from napari_rsna_inpaint.brain.mask import brain_mask

__all__ = ["brain_mask"]
