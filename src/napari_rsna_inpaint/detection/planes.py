"""Images of a whole series that are computed plane by plane when they are looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

#: Which rows or columns of a plane: their numbers, or all of them.
Index = npt.NDArray[np.intp] | slice
ALL = slice(None)


class Planes:
    """A read-only array ``(z, y, x)`` that takes no memory.

    It can be indexed by numbers and slices and turned into an array by ``numpy.asarray``, which
    is all that napari and the writers need: a result of a thousand slices would otherwise take
    a gigabyte an image.

    Parameters
    ----------
    compute
        ``(z, rows, columns)`` to the values of these rows and columns of a plane.
    """

    ndim = 3

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        compute: Callable[[int, Index, Index], npt.NDArray],
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._compute = compute

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def plane(self, z: int, rows: Index = ALL, columns: Index = ALL) -> npt.NDArray:
        """Rows and columns of one plane, ``(y, x)``."""
        return self._compute(z, rows, columns)

    def __getitem__(self, key: Any) -> npt.NDArray:
        wanted = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(one, int | np.integer | slice) for one in wanted):
            return np.asarray(self)[key]
        wanted = (*wanted, *(ALL,) * (3 - len(wanted)))
        picked = [np.arange(n)[one] for n, one in zip(self.shape, wanted, strict=True)]
        rows, columns = (
            ALL if one == ALL else np.atleast_1d(numbers)
            for one, numbers in zip(wanted[1:], picked[1:], strict=True)
        )
        out = np.empty([one.size for one in picked], self.dtype)
        for plane, z in zip(out, np.atleast_1d(picked[0]), strict=True):
            plane[:] = self.plane(int(z), rows, columns)
        # a number where a single voxel is asked for
        return out.reshape([one.size for one in picked if one.ndim])[()]

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def __reduce__(self) -> tuple[Callable[[npt.NDArray], npt.NDArray], tuple[npt.NDArray]]:
        # what computes the planes cannot leave the process; their values can
        return np.asarray, (np.asarray(self),)

    def astype(self, dtype: npt.DTypeLike) -> Planes:
        """The same values as another type."""

        def compute(z: int, rows: Index, columns: Index) -> npt.NDArray:
            return self.plane(z, rows, columns).astype(dtype)

        return Planes(self.shape, dtype, compute)
