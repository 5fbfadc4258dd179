"""What users install: wheel and sdist carry the manifest and the models."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = out.glob("*.whl")
    (sdist,) = out.glob("*.tar.gz")
    return wheel, sdist


def carried(names: list[str]) -> set[str]:
    """Manifest and model files, without the folders above the package."""
    package = "napari_rsna_inpaint/"
    inner = {name.split(package, 1)[1] for name in names if package in name}
    return {name for name in inner if name == "napari.yaml" or name.startswith("models/")}


def expected() -> set[str]:
    source = ROOT / "src" / "napari_rsna_inpaint"
    models = {str(path.relative_to(source)) for path in source.glob("models/*/*")}
    assert any(name.endswith("weights.safetensors") for name in models)
    return models | {"napari.yaml"}


def test_wheel_carries_manifest_and_models(distributions):
    with zipfile.ZipFile(distributions[0]) as wheel:
        assert carried(wheel.namelist()) == expected()


def test_sdist_carries_manifest_and_models(distributions):
    with tarfile.open(distributions[1]) as sdist:
        files = [member.name for member in sdist.getmembers() if member.isfile()]
    assert carried([name for name in files if "/src/" in name]) == expected()
    inner = {name.split("/", 1)[1] for name in files}
    assert {"tests/conftest.py", "docs/method.md", "scripts/test", "CHANGELOG.md"} <= inner


def test_the_installed_wheel_is_a_valid_plugin_with_its_model(distributions, tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path)]
    subprocess.run([*pip, str(distributions[0])], check=True, capture_output=True)
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import napari_rsna_inpaint, npe2
from napari_rsna_inpaint.diffusion.model_folder import find_model
assert napari_rsna_inpaint.__file__.startswith({str(tmp_path)!r})
manifest = npe2.PluginManifest.from_distribution("napari-rsna-inpaint")
manifest.validate_imports()
found = manifest.contributions
print(len(found.readers), len(found.widgets), len(found.themes), find_model().name)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "2", "1", "rsna-healthy-v2"]
