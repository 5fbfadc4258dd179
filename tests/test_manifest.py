from __future__ import annotations

from pathlib import Path

import pytest

npe2 = pytest.importorskip("npe2")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def manifest() -> npe2.PluginManifest:
    return npe2.PluginManifest.from_distribution("napari-rsna-inpaint")


def test_every_command_can_be_imported(manifest: npe2.PluginManifest) -> None:
    manifest.validate_imports()


def test_nothing_in_the_manifest_is_silently_ignored(manifest: npe2.PluginManifest) -> None:
    found = manifest.contributions
    counts = {
        name: len(getattr(found, name) or [])
        for name in (
            "commands",
            "readers",
            "writers",
            "widgets",
            "sample_data",
            "menus",
            "themes",
            "configurations",
        )
    }
    # 8 commands of the manifest's own, and one for every action of a reader
    assert counts == {
        "commands": 43,
        "readers": 1,
        "writers": 2,
        "widgets": 2,
        "sample_data": 2,
        "menus": 1,
        "themes": 1,
        "configurations": 3,
    }
    assert len(found.menus["napari/file/io_utilities"]) == 2


def test_the_link_at_the_top_reads_like_the_packaged_file() -> None:
    packaged = ROOT / "src" / "napari_rsna_inpaint" / "napari.yaml"
    link = ROOT / "napari.yaml"
    if not link.is_symlink():
        pytest.skip("this checkout does not keep symbolic links")
    assert link.read_text() == packaged.read_text()


def test_exported_dicom_without_extension_and_folders_reach_the_reader(
    manifest: npe2.PluginManifest,
) -> None:
    (reader,) = manifest.contributions.readers
    assert reader.accepts_directories
    assert "*" in reader.filename_patterns
