import shutil

import numpy as np
import pytest

from napari_rsna_inpaint import detect
from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.detection.calibration import load_calibration, save_calibration
from napari_rsna_inpaint.detection.grid import GridDetector
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.io.write import write_nifti
from napari_rsna_inpaint.train.calibrate import FALSE_FINDINGS, calibrate, finding_heat


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    for seed in (1, 2):
        volume = head_phantom(seed=seed, shape=(5, 128, 128), spacing=(10.0, 1.8, 1.8)).volume
        write_nifti(folder / f"{seed}.nii", volume.hu, volume)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def detector(tiny_model):
    return GridDetector("interactive", model=tiny_model, device="cpu")


@pytest.fixture(scope="module")
def calibration(heads, detector):
    return calibrate(heads, detector, bleeds=2)


def test_everything_is_learned_and_comes_back_from_the_file(calibration, tmp_path):
    assert calibration.protocol == "interactive"
    assert calibration.n_scans == len(calibration.healthy_scan_scores) == 2
    assert calibration.norms.noise_hu > 1
    assert 0 <= calibration.finding_heat <= 1
    save_calibration(tmp_path, "grid", calibration)
    assert load_calibration(tmp_path, "grid", "interactive") == calibration


def test_the_order_of_the_scans_changes_no_norm(calibration, heads, detector):
    again = calibrate(heads[::-1], detector, bleeds=2)
    assert again.norms == calibration.norms
    assert again.healthy_scan_scores == pytest.approx(calibration.healthy_scan_scores, abs=1e-6)


def test_as_many_healthy_regions_are_findings_as_allowed():
    peaks = np.linspace(0.4, 0.9, 12, dtype=np.float32)
    needed = finding_heat(peaks.tolist(), 10)
    # one by one and in the precision of the heat, as `findings.find` compares them
    assert sum(peak >= needed for peak in peaks) == 10 * FALSE_FINDINGS


def test_a_known_judge_and_its_thresholds_are_kept(calibration, heads, detector):
    one = calibrate(heads[:1], detector, known=calibration)
    assert one.n_scans == 1
    assert one.norms != calibration.norms
    kept = {"norms", "n_scans", "n_slices"}
    assert one.model_dump(exclude=kept) == calibration.model_dump(exclude=kept)


def test_a_bleed_in_another_head_is_hotter_than_the_same_head_without(
    calibration, tiny_model, tmp_path
):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    save_calibration(model, "grid", calibration)

    def score(bleed):
        head = head_phantom(seed=3, bleed=bleed, shape=(5, 128, 128), spacing=(10.0, 1.8, 1.8))
        run = detect(head.volume, protocol="interactive", model=model, device="cpu").run
        return run["scan"]["score"]

    assert score("intraparenchymal") > score(None) + 0.1


def test_scans_that_are_refused_are_left_out(heads, detector, tmp_path, calibration):
    broken = tmp_path / "broken.nii"
    broken.write_bytes(b"nothing")
    one = calibrate([broken, heads[0]], detector, known=calibration)
    assert one.n_scans == 1
    with pytest.raises(InputRefused, match="healthy scans"):
        calibrate([broken], detector)


def test_the_command_says_that_scans_were_left_out(heads, tiny_model, tmp_path, capsys):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    broken = tmp_path / "broken.nii"
    broken.write_bytes(b"nothing")
    common = ("--model", str(model), "--protocol", "interactive", "--device", "cpu")
    assert main(["calibrate", str(broken), str(heads[0]), "--bleeds", "0", *common]) == 5
    assert "1 scans" in capsys.readouterr().out
    assert load_calibration(model, "grid", "interactive").n_scans == 1


def test_cancel_stops_it(heads, detector):
    with pytest.raises(Cancelled):
        calibrate(heads, detector, cancelled=lambda: True)
