import importlib.util
import json
import re
import shlex
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from napari_rsna_inpaint.cli import _parser, main
from napari_rsna_inpaint.detection.config import changed
from napari_rsna_inpaint.detection.describe import describe, parameters
from napari_rsna_inpaint.detection.names import detectors
from napari_rsna_inpaint.detection.registry import load_detector

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", detectors())
def test_every_parameter_is_described_and_can_be_set(name):
    kind = load_detector(name)
    for parameter in parameters(kind):
        assert parameter.description, parameter.name
        assert set(parameter.values) == set(kind.presets)
        text = parameter.values["fast"]
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        # what is shown as the value of a preset is what --set takes
        config = kind.presets["fast"]
        assert changed(config, {parameter.name: value}) == config


def test_nested_parameters_have_dotted_names_and_limits():
    found = {one.name: one for one in parameters(load_detector("cfg"))}
    assert "deblur" not in found
    assert found["deblur.sigma_mm"].allowed == "0 to 5"
    assert found["deblur.kind"].kind == "one of off, gaussian, motion, estimate"


def test_facts_need_no_run():
    about = describe("grid")
    assert about["method"] == "grid"
    assert about["model"]
    assert "fast" in about["calibrated"]


def test_the_command_lists_all_and_tells_of_one(capsys):
    assert main(["detectors", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["detectors"]
    assert [about["name"] for about in listed] == detectors()
    assert main(["detectors", "grid", "--json"]) == 0
    names = [one["name"] for one in json.loads(capsys.readouterr().out)["parameters"]]
    assert "sampling.steps" in names
    assert main(["detectors", "grid"]) == 0
    assert "--set sampling.steps=" in capsys.readouterr().out
    assert main(["detectors", "absent"]) == 3
    assert main(["detectors", "--markdown"]) == 2


def update_docs():
    loader = SourceFileLoader("update_docs", str(ROOT / "scripts" / "update-docs"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("update_docs", loader))
    loader.exec_module(module)
    return module


def test_generated_parts_of_the_documentation_are_fresh():
    stale = [page.name for page, text in update_docs().pages().items() if page.read_text() != text]
    assert not stale, f"stale: {stale}; refresh all with: python scripts/update-docs"


def test_every_detector_of_this_package_has_a_page():
    pages = {page.stem for page in (ROOT / "docs" / "detectors").glob("*.md")}
    table = (ROOT / "docs" / "detectors.md").read_text()
    for name in pages:
        assert f"(detectors/{name}.md)" in table
    assert set(detectors()) <= pages


def test_the_commands_of_the_pages_are_understood():
    pages = [ROOT / "docs" / "detectors.md", *(ROOT / "docs" / "detectors").glob("*.md")]
    # on lines of their own and in tables; what text only names is no whole command
    lines = [line for page in pages for line in page.read_text().splitlines()]
    commands = [line for line in lines if line.startswith("rsna-inpaint ")]
    rows = [line for line in lines if line.startswith("|")]
    commands += [found for row in rows for found in re.findall("`(rsna-inpaint [^`]+)`", row)]
    assert any(" train " in command for command in commands)
    assert len(commands) > len(pages)
    for command in commands:
        # exits where an option is unknown or missing
        assert _parser().parse_args(shlex.split(command)[1:]), command
