import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from napari_rsna_inpaint import detect
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.io.write import write_nifti

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "third_party_detector.py"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Folder with the example of the documentation as an installed package."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(EXAMPLE, folder)
    info = folder / "third_party-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[napari_rsna_inpaint.detectors]\ndense = third_party_detector:DenseDetector\n"
    )
    return folder


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(
        seed=3, bleed="intraparenchymal", shape=(4, 128, 128), spacing=(5, 1.5, 1.5)
    )


def test_the_example_finds_a_dense_bleed_in_python(installed, phantom, monkeypatch):
    monkeypatch.syspath_prepend(str(installed))
    detection = detect(phantom.volume, "dense", parameters={"spread_hu": 15.0})
    assert detection.run["parameters"] == {"normal_hu": 35.0, "spread_hu": 15.0}
    assert detection.findings
    hot = detection.labels > 0
    assert (hot & (phantom.lesion_mask > 0)).sum() > 0.5 * (phantom.lesion_mask > 0).sum()


def test_the_example_runs_from_the_command_line(installed, phantom, tmp_path):
    scan = tmp_path / "scan.nii.gz"
    write_nifti(scan, phantom.volume.hu, phantom.volume)
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "napari_rsna_inpaint", "detect", str(scan)]
    options = ["--detector", "dense", "--set", "normal_hu=38", "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, *options],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    run = next(
        content
        for file in (tmp_path / "out").glob("*.json")
        if "parameters" in (content := json.loads(file.read_text()))
    )
    assert run["parameters"]["normal_hu"] == 38
