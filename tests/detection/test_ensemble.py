from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from calibrations import plain_calibration

from napari_rsna_inpaint import detect
from napari_rsna_inpaint.brain import packed_brain_mask
from napari_rsna_inpaint.detection import ensemble
from napari_rsna_inpaint.detection.base import SliceScores
from napari_rsna_inpaint.detection.calibration import save_calibration
from napari_rsna_inpaint.detection.ensemble import EnsembleConfig, EnsembleDetector, combined
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.inpaint.resample import ModelGrid

STEPS = 3


class Member:
    """Sees the same everywhere in the brain; takes `STEPS` evaluations a section."""

    presets: ClassVar = {"fast": None}

    def __init__(self, name, protocol, *, seen, pixel_mm=1.0, divisor=4, heat_only=False):
        self.name, self.protocol, self.seen = name, protocol, seen
        self.pixel_mm = pixel_mm
        self.model_config = SimpleNamespace(divisor=divisor)
        self.calibration = None if heat_only else plain_calibration()

    def grid(self, volume, outline):
        return ModelGrid.around(outline[None], volume.spacing[1:], self.pixel_mm, divisor=12)

    def run(self, scan, *, indices, seed, on_step=None, cancelled=None):
        done = 0
        for z in indices:
            for _ in range(STEPS):
                if cancelled is not None and cancelled():
                    raise Cancelled
                done += 1
                if on_step is not None:
                    on_step(done, STEPS * len(indices))
            residual = np.where(scan.brain(z), self.seen, 0).astype(np.float32)
            yield SliceScores(z, residual, np.zeros((0, *residual.shape), np.float32))

    def provenance(self):
        return {"detector": self.name, "protocol": self.protocol}


@pytest.fixture(scope="module")
def volume():
    shape, spacing = (5, 80, 80), (5.0, 2.5, 2.5)
    return head_phantom(seed=3, bleed="intraparenchymal", shape=shape, spacing=spacing).volume


@pytest.fixture
def kinds():
    return {
        "ten": {"seen": 10.0},
        "minus": {"seen": -5.0, "divisor": 6},
        "five": {"seen": 5.0},
        "coarse": {"seen": 5.0, "pixel_mm": 2.0},
        "decided": {"seen": 5.0, "heat_only": True},
    }


@pytest.fixture(autouse=True)
def members(monkeypatch, kinds, tiny_model, tmp_path):
    """Members by name, and the folder of a model of the grid for the ensemble's calibration."""
    folder = tmp_path / "home"
    folder.mkdir()
    for file in tiny_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    save_calibration(folder, "ensemble", plain_calibration())
    monkeypatch.setattr(ensemble, "load_detector", lambda name: Member)
    monkeypatch.setattr(
        ensemble, "make_detector", lambda name, protocol, **_: Member(name, protocol, **kinds[name])
    )
    return folder


def make(folder, *names, protocol="fast", **options):
    config = EnsembleConfig(members=names, **options)
    return EnsembleDetector(protocol, config, model=folder, device="cpu")


def scan_of(volume, detector):
    mask = packed_brain_mask(volume)
    return Scan(volume, mask, detector.grid(volume, mask.outline()), detector.pixel_mm)


@pytest.mark.parametrize(
    ("names", "options", "deviation"),
    [
        # a healthy spread is 5 HU in the plain calibration, and so it is shown
        (("ten", "five"), {}, 7.5),
        (("ten", "five"), {"weights": (3.0, 1.0)}, 8.75),
        (("ten", "minus"), {}, 2.5),
        (("ten", "five"), {"combine": "min"}, 5.0),
        (("ten", "minus"), {"combine": "min"}, 0.0),
        (("five", "ten", "minus"), {"combine": "max"}, 10.0),
    ],
)
def test_deviations_are_combined_in_healthy_spreads(volume, members, names, options, deviation):
    detector = make(members, *names, **options)
    scan = scan_of(volume, detector)
    (scores,) = detector.run(scan, indices=scan.with_brain[1:2], seed=0)
    brain = scan.brain(scores.index)
    np.testing.assert_allclose(scores.deviation[brain], deviation, atol=1e-4)
    assert not scores.deviation[~brain].any()
    seen = [detector.members[k].seen for k in range(len(names))]
    np.testing.assert_allclose(scores.residual[brain], np.mean(seen))
    np.testing.assert_allclose(scores.minimum[brain], min(seen, key=abs))


def test_members_share_a_grid_that_suits_them_all(volume, members):
    detector = make(members, "ten", "minus")
    outline = packed_brain_mask(volume).outline()
    assert all(side % 12 == 0 for side in detector.grid(volume, outline).shape)
    with pytest.raises(InputRefused, match="one pixel size, not 1, 2 mm"):
        make(members, "ten", "coarse")


def test_progress_counts_the_evaluations_of_all_members(volume, members):
    detector = make(members, "ten", "five", "minus")
    scan = scan_of(volume, detector)
    seen = []
    n = len(
        list(
            detector.run(
                scan, indices=scan.with_brain, seed=0, on_step=lambda *step: seen.append(step)
            )
        )
    )
    assert n == len(scan.with_brain)
    assert [done for done, _ in seen] == list(range(1, 3 * STEPS * n + 1))
    assert seen[-1] == (3 * STEPS * n, 3 * STEPS * n)


def test_a_stopped_run_goes_on_to_the_same_result(monkeypatch, volume, members, tmp_path):
    monkeypatch.setattr(
        "napari_rsna_inpaint.detection.run.make_detector",
        lambda *args, **_: make(members, "ten", "five"),
    )
    finished = []
    with pytest.raises(Cancelled):
        detect(
            volume,
            "ensemble",
            store=tmp_path / "store",
            on_progress=lambda done, total, part: finished.append(part) if part else None,
            cancelled=lambda: len(finished) > 1,
        )
    resumed = detect(volume, "ensemble", store=tmp_path / "store")
    whole = detect(volume, "ensemble")
    assert 0 < resumed.run["denoiser_evaluations"] < whole.run["denoiser_evaluations"]
    for image in ("residual", "heatmap", "labels"):
        np.testing.assert_array_equal(getattr(resumed, image), getattr(whole, image))
    assert [one["detector"] for one in whole.run["members"]] == ["ten", "five"]


def test_members_run_by_the_nearest_protocol_that_they_have(members):
    assert make(members, "ten", protocol="reference").members[0].protocol == "fast"


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("ten", "ensemble"), {}, "member of itself"),
        (("ten", "ten"), {}, "named once"),
        (("ten", "five"), {"weights": (1.0,)}, "as many weights"),
        (("ten", "five"), {"weights": (0.0, 0.0)}, "not all 0"),
        (("ten", "decided"), {}, "'decided' decides without a calibration"),
    ],
)
def test_what_cannot_be_combined_is_refused(members, names, options, message):
    with pytest.raises(InputRefused, match=message):
        make(members, *names, **options)


def test_alike_members_change_nothing():
    values = np.random.default_rng(0).normal(size=(1, 4, 5)).astype(np.float32)
    same = np.repeat(values, 3, 0)
    for combine in ("mean", "min", "max"):
        config = EnsembleConfig(members=("a", "b", "c"), combine=combine)
        np.testing.assert_allclose(combined(same, config), values[0], rtol=1e-6)
