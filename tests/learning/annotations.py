"""Verdicts and results made up for tests."""

from collections.abc import Callable, Sequence

import numpy as np

from napari_rsna_inpaint.detection.result import Detection, Finding, Maps
from napari_rsna_inpaint.learning.annotated import Annotated
from napari_rsna_inpaint.learning.features import FEATURES
from napari_rsna_inpaint.volume import CTVolume

PRIOR = FEATURES.index("prior")
SIGNAL = FEATURES.index("highest_hu")


def finding(name: str, sign: str = "hyper", slices: tuple[int, int] = (3, 4), **more) -> dict:
    return {"id": name, "sign": sign, "slices": slices, **more}


def annotations(
    studies: int = 20, per_study: int = 4, signal: float = 0.0, seed: int = 0
) -> list[Annotated]:
    """Every second finding of a study is accepted, and ``signal`` times denser."""
    rng = np.random.default_rng(seed)
    rows = []
    for study in range(studies):
        for number in range(per_study):
            accepted = (study + number) % 2 == 0
            features = rng.normal(size=len(FEATURES))
            features[PRIOR] = rng.normal(0.5 if accepted else -0.5)
            features[SIGNAL] += signal * accepted
            rows.append(
                Annotated(
                    f"study{study}",
                    finding(f"F{number + 1}", slices=(2 * number, 2 * number + 1)),
                    features.tolist(),
                    "accepted" if accepted else "rejected",
                    None if accepted else "calcification",
                )
            )
    return rows


def result(
    volume: CTVolume,
    boxes: Sequence[tuple[slice, slice, slice]],
    brain: np.ndarray,
    further: int = 0,
) -> Detection:
    """A result with a bright region in every box, the last ``further`` below the threshold."""
    labels = np.zeros(volume.hu.shape, np.uint16)
    residual = np.zeros(volume.hu.shape, np.float32)
    found = []
    for number, box in enumerate(boxes, start=1):
        labels[box] = number
        residual[box] = 20
        z, y, x = box
        pixel_mm2 = volume.spacing[1] * volume.spacing[2]
        found.append(
            Finding(
                id=f"F{number}",
                slices=(z.start, z.stop - 1),
                centroid_mm=(0.0, 0.0, 0.0),
                bbox=(z.start, y.start, x.start, z.stop, y.stop, x.stop),
                volume_ml=float((labels == number).sum((1, 2)) @ volume.voxel_volumes_ml),
                area_mm2=float((labels[z.start] == number).sum() * pixel_mm2),
                sign="hyper",
                score=0.9 - 0.1 * number,
                mean_hu=float(volume.hu[box].mean()),
                mean_residual_hu=20.0,
                scales=[16.0],
            )
        )
    n = len(found) - further
    maps = Maps(
        brain_mask=brain,
        inpainted=volume.hu - residual,
        residual=residual,
        heatmap=(labels > 0).astype(np.float32),
        labels=labels,
        minimum_distance=residual,
    )
    return Detection(
        maps=maps,
        findings=found[:n],
        further=found[n:],
        slice_scores=np.zeros(len(volume.hu), np.float32),
        done=np.ones(len(volume.hu), bool),
    )


Make = Callable[..., Detection]
