"""Which series are trained on, and which are kept aside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.label_table import YES
from napari_rsna_inpaint.train.prepare import PreparedSeries


def split(
    series: Sequence[PreparedSeries], held_out: Iterable[str], *, bleeds: bool = False
) -> tuple[list[PreparedSeries], list[PreparedSeries]]:
    """Series to train on and to validate on; healthy ones, and bleeding ones if asked for.

    A patient with a series kept for validation is not trained on at all.

    Parameters
    ----------
    held_out
        Names of the series that are kept for validation.
    bleeds
        Series with labelled bleeds belong to it as well.

    Raises
    ------
    InputRefused
        If a name is unknown or not that of a healthy series, or nothing is left to train on.
    """
    names = set(held_out)
    unknown = names - {one.name for one in series}
    if unknown:
        raise InputRefused(f"No series is named {min(unknown)!r} in the data folders.")
    validation = [one for one in series if one.name in names]
    fit = [one for one in series if one.healthy or (bleeds and (one.labels == YES).any())]
    unhealthy = sorted({one.name for one in validation} - {one.name for one in fit})
    if unhealthy:
        raise InputRefused(
            f"The series {unhealthy[0]!r} is not known to be healthy; validate on healthy ones."
        )
    patients = {one.patient for one in validation}
    training = [one for one in fit if one.patient not in patients]
    if not any(one.healthy for one in training):
        raise InputRefused(
            "The data folders hold no healthy series to train on; give prepare their labels, or "
            "--unlabelled healthy if all unlabelled ones are."
        )
    return training, validation
