from __future__ import annotations

import pytest

from napari_rsna_inpaint._qt.presets import DEFAULT_PRESETS, Preset, parse_presets
from napari_rsna_inpaint._qt.settings import Settings, checked, settings
from napari_rsna_inpaint._qt.window import window_text
from napari_rsna_inpaint.errors import UsageError


def test_presets_are_read_as_a_person_writes_them() -> None:
    assert parse_presets(" brain 80 40;soft  tissue 400 50.5\nlung 1500 -600 ;") == (
        Preset("brain", 80, 40),
        Preset("soft tissue", 400, 50.5),
        Preset("lung", 1500, -600),
    )
    assert parse_presets(DEFAULT_PRESETS)[:2] == (Preset("brain", 80, 40), Preset("stroke", 40, 40))


@pytest.mark.parametrize(
    "text",
    ["", "brain 80", "80 40", "brain wide 40", "brain 0 40", "brain nan 40", "a 80 40;" * 10],
)
def test_presets_that_cannot_be_read_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"brain 80 40; bone 2800 600"):
        parse_presets(text)


def test_the_text_names_the_preset_that_is_shown() -> None:
    presets = parse_presets(DEFAULT_PRESETS)
    assert window_text(80, 40, presets) == "brain\nW 80  L 40"
    assert window_text(81, 40, presets) == "W 81  L 40"


def test_without_plugin_preferences_the_usual_ones_count(monkeypatch: pytest.MonkeyPatch) -> None:
    import napari.settings

    def unavailable(_name: str) -> None:
        raise KeyError("Plugin named 'napari-rsna-inpaint' does not exist.")

    monkeypatch.setattr(napari.settings, "get_plugin_settings", unavailable)
    assert settings() == Settings()


def test_good_values_are_taken() -> None:
    chosen = checked(
        {
            "device": "cpu",
            "protocol": "full",
            "completions": 8,
            "presets": "mine 90 45",
            "mouse_habits": "napari",
            "side_views": False,
            "store": " postgresql://server/verdicts ",
            "reader": "r7",
        }
    )
    assert chosen == Settings(
        device="cpu",
        protocol="full",
        completions=8,
        presets=(Preset("mine", 90, 45),),
        mouse_habits="napari",
        side_views=False,
        store="postgresql://server/verdicts",
        reader="r7",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "abacus"),
        ("protocol", 3),
        ("completions", 0),
        ("completions", True),
        ("presets", "brain"),
        ("mouse_habits", None),
        ("side_views", "yes"),
        ("reader", 12),
    ],
)
def test_a_bad_value_is_set_aside_with_one_sentence(name: str, value: object) -> None:
    chosen = checked({name: value})
    assert getattr(chosen, name) == getattr(Settings(), name)
    (problem,) = chosen.problems
    assert name.replace("_", " ") in problem
    assert problem.endswith(".")
