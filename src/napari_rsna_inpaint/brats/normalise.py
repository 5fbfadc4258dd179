"""Intensities of MR on the scale of a model, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import InputRefused

#: What lies outside of these quantiles of the known voxels is clipped (Friedrich et al. 2024).
QUANTILES = (0.001, 0.999)
#: Scale of the model: window of its values.
WINDOW = (0.0, 1000.0)


@dataclass(frozen=True)
class Scale:
    """Linear map of ``low`` to ``high`` intensity onto `WINDOW`."""

    low: float
    high: float

    @classmethod
    def of(cls, values: npt.NDArray, known: npt.NDArray[np.bool_]) -> Scale:
        """Scale of an image, from all its voxels outside of the hole, background included.

        Raises
        ------
        InputRefused
            If they have all the same value.
        """
        if not known.any():
            raise InputRefused("The mask covers the whole image: nothing is known.")
        low, high = (float(q) for q in np.quantile(values[known], QUANTILES))
        if not high > low:
            raise InputRefused("The image is empty outside of the mask; fetch it again.")
        return cls(low, high)

    def to_model(self, values: npt.NDArray) -> npt.NDArray[np.float32]:
        """Intensities to `WINDOW`, clipped."""
        share = (values.astype(np.float64) - self.low) / (self.high - self.low)
        return (share.clip(0, 1) * WINDOW[1]).astype(np.float32)

    def from_model(self, values: npt.NDArray) -> npt.NDArray[np.float64]:
        """Values of the model to intensities."""
        return values.astype(np.float64) / WINDOW[1] * (self.high - self.low) + self.low
