"""A model on disk: a folder with weights, their configuration, and what was measured on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io.write import write_atomic, write_json

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
#: The installed model of each training method that is taken unasked.
DEFAULT_MODELS = {
    "grid": "rsna-healthy-v2",
    "anoremove": "rsna-anoremove-v1",
    "wavelet3d": "rsna-wavelet3d-v1",
    "classifier-guidance": "rsna-classifier-guidance-v1",
    "cfg": "rsna-cfg-v1",
    "picard": "rsna-picard-v1",
}

Config = TypeVar("Config", bound=BaseModel)
#: One network, or several by name.
Networks = nn.Module | Mapping[str, nn.Module]


def models_folder() -> Path:
    """Folder of the models that come with the package."""
    return Path(str(files("napari_rsna_inpaint"))) / "models"


def installed_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in models_folder().glob(f"*/{WEIGHTS}"))


def find_model(model: str | Path | None = None, method: str | None = "grid") -> Path:
    """Folder of a model by name or path.

    Parameters
    ----------
    model
        None gives the default model of the method.
    method
        How it must have been trained; None takes any.

    Raises
    ------
    InputRefused
        If there is no such model, or it was trained by another method.
    """
    installed = installed_models()
    if model is None:
        default = DEFAULT_MODELS.get(method or "grid")
        if default not in installed:
            raise InputRefused(
                f"No model of the method {method!r} is installed; name one by its folder with "
                "--model."
            )
        return models_folder() / default
    folder = models_folder() / str(model) if str(model) in installed else Path(model)
    if not (folder / WEIGHTS).is_file():
        raise InputRefused(
            f"There is no model {str(model)!r}; installed: {', '.join(installed) or 'none'}. "
            f"A model is a name from this list or a folder with {WEIGHTS} and {CONFIG}."
        )
    if method is not None and method_of(folder) != method:
        raise InputRefused(
            f"The model {folder.name!r} was trained by the method {method_of(folder)!r}; "
            f"one of {method!r} is needed."
        )
    return folder


def model_sha256(folder: Path) -> str:
    """SHA-256 of the weights file."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def save_model(folder: Path, networks: Networks, config: BaseModel) -> None:
    """Write ``weights.safetensors`` (float32) and ``config.json`` into a folder.

    The weights file holds the configuration as well (metadata ``config``), so that it
    describes itself. The weights of several networks lie behind their names.

    Raises
    ------
    OutputFailed
        If a file cannot be written; the one there before stays whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: value.detach().cpu().float().contiguous()
        for prefix, network in _named(networks)
        for key, value in network.state_dict(prefix=prefix).items()
    }
    write_json(folder / CONFIG, config.model_dump(mode="json"))
    write_atomic(folder / WEIGHTS, save(tensors, {"config": config.model_dump_json()}))


def method_of(folder: Path) -> str:
    """Name of the method by which a model was trained; those of before had one only.

    Raises
    ------
    InputRefused
        If its configuration cannot be read.
    """
    try:
        return str(json.loads(_config_text(folder)).get("method", "grid"))
    except (OSError, ValueError, SafetensorError, AttributeError) as error:
        raise _unreadable(folder) from error


def load_config(folder: Path, kind: type[Config]) -> Config:
    """Read the configuration of a model: ``config.json``, else what the weights file says.

    Raises
    ------
    InputRefused
        If both are missing, of another method or not of this version.
    """
    try:
        return kind.model_validate_json(_config_text(folder))
    except (OSError, ValueError, SafetensorError) as error:
        raise _unreadable(folder) from error


def load_weights(folder: Path, networks: Networks) -> None:
    """Give networks their weights, float32 on the CPU, ready to be evaluated.

    Raises
    ------
    InputRefused
        If the weights are damaged or belong to another configuration.
    """
    try:
        weights = load_file(folder / WEIGHTS)
        for prefix, network in _named(networks):
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            network.load_state_dict(own)
            network.eval()
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise InputRefused(
            f"The weights of the model {folder.name!r} are damaged or do not fit its "
            f"{CONFIG}; install it anew."
        ) from error


def _named(networks: Networks) -> list[tuple[str, nn.Module]]:
    if isinstance(networks, nn.Module):
        return [("", networks)]
    return [(f"{name}.", network) for name, network in networks.items()]


def _config_text(folder: Path) -> str:
    if (folder / CONFIG).exists():
        return (folder / CONFIG).read_text()
    with safe_open(folder / WEIGHTS, "pt") as file:
        return (file.metadata() or {}).get("config", "")


def _unreadable(folder: Path) -> InputRefused:
    return InputRefused(
        f"The model in {folder.name!r} has no {CONFIG} that this version can read; "
        "train or install it anew."
    )
