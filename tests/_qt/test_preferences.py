"""What the manifest says of preferences, commands and the theme is what the code does."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import npe2
import pytest
from napari.components import ViewerModel

from napari_rsna_inpaint._qt.actions import ACTIONS
from napari_rsna_inpaint._qt.habits import install_habits
from napari_rsna_inpaint._qt.settings import Settings, settings

PLUGIN = "napari-rsna-inpaint"


@pytest.fixture(scope="module")
def manifest() -> npe2.PluginManifest:
    return npe2.PluginManifest.from_distribution(PLUGIN)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """The preferences as napari keeps them, in a folder of their own."""
    import napari.settings

    monkeypatch.setattr(napari.settings, "_PLUGIN_SETTINGS", {})
    return napari.settings.get_plugin_settings(PLUGIN, path_dir=tmp_path)


def test_every_action_is_a_command_of_the_palette(manifest: npe2.PluginManifest) -> None:
    prefix = "napari_rsna_inpaint._qt.actions:"
    commands = {
        command.id.removeprefix(f"{PLUGIN}."): command.title
        for command in manifest.contributions.commands
        if command.python_name.startswith(prefix)
    }
    assert commands == {action.id: action.title for action in ACTIONS}


def test_the_reading_theme_is_dark_and_readable(manifest: npe2.PluginManifest) -> None:
    (theme,) = manifest.contributions.themes
    assert theme.id == "rsna-reading"
    assert theme.type == "dark"
    colours = theme.colors

    def luminance(name: str) -> float:
        """Relative luminance after WCAG 2.2."""
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in (value / 255 for value in getattr(colours, name).as_rgb_tuple()[:3])
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert luminance("canvas") < 0.01
    for back in ("background", "foreground", "primary", "current"):
        contrast = (luminance("text") + 0.05) / (luminance(back) + 0.05)
        assert contrast >= 4.5, f"text on {back}: {contrast:.1f}"


def test_the_defaults_of_the_manifest_are_those_of_the_code(kept: Any) -> None:
    assert settings() == Settings()
    groups = (kept.detection, kept.reading, kept.verdicts)
    names = {name for group in groups for name in type(group).model_fields}
    assert names == set(Settings.__dataclass_fields__) - {"problems"}


def test_what_is_changed_in_the_preferences_counts_at_once(kept: Any) -> None:
    viewer = ViewerModel()
    install_habits(viewer)
    assert not viewer.scene.camera.mouse_zoom
    callbacks = len(viewer.mouse_wheel_callbacks)
    kept.reading.mouse_habits = "napari"
    assert viewer.scene.camera.mouse_zoom
    assert {f.__name__ for f in viewer.mouse_wheel_callbacks} == {"dims_scroll", "layers_scroll"}
    kept.reading.mouse_habits = "radiology"
    assert not viewer.scene.camera.mouse_zoom
    assert len(viewer.mouse_wheel_callbacks) == callbacks
    kept.verdicts.reader = "r7"
    assert settings().reader == "r7"
    gone = weakref.ref(viewer)
    del viewer
    gc.collect()
    assert gone() is None, "the preferences keep a closed viewer alive"
