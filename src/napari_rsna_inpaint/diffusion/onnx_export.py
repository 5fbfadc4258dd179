"""From a model folder to one ONNX file that gives what PyTorch gives."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from napari_rsna_inpaint import STATEMENT, __version__
from napari_rsna_inpaint.diffusion.model import ModelConfig, load_network
from napari_rsna_inpaint.diffusion.model_folder import load_config, model_sha256
from napari_rsna_inpaint.diffusion.onnx_denoiser import (
    CONFIG_KEY,
    WEIGHTS_KEY,
    import_onnxruntime,
    open_session,
)
from napari_rsna_inpaint.diffusion.onnx_network import OnnxNetwork
from napari_rsna_inpaint.diffusion.unet import PatchUNet
from napari_rsna_inpaint.errors import InputRefused, OutputFailed

#: From 21 on, ONNX Runtime runs this network about 7 % slower.
OPSET = 20
#: Largest difference of v between torch and ONNX Runtime, both float32.
TOLERANCE = 1e-3
#: Batches and sizes that are compared: images, height and width in units of the divisor.
_COMPARED = ((1, 12, 10), (3, 4, 5), (4, 1, 2))


def export_onnx(folder: Path, *, quantizable: bool = False) -> bytes:
    """ONNX file of a model, compared with PyTorch before it is returned.

    Inputs are ``inputs`` ``(batch, 6, height, width)`` float32 and ``t`` ``(batch,)`` int64,
    output is ``v`` ``(batch, 1, height, width)`` float32, as of ``PatchUNet.forward``. Batch,
    height and width are free; height and width must be multiples of the network's divisor,
    which nothing in the file checks. The weights are inside; the metadata holds the model's
    configuration, the SHA-256 of its weights, the opset and the terms of use.

    Parameters
    ----------
    folder
        Model folder.
    quantizable
        Whether the operations are those of ``PatchUNet``, for ``onnx_int8.quantize``, instead
        of those of ``OnnxNetwork``, which are faster in float32.

    Raises
    ------
    InputRefused
        If the model is damaged, or the packages for exporting are not installed.
    OutputFailed
        If ONNX Runtime computes something else than PyTorch.
    """
    import_onnxruntime()
    config = load_config(folder, ModelConfig)
    network = load_network(folder, config).requires_grad_(False)
    model = _convert(network if quantizable else OnnxNetwork(network), config)
    metadata = {
        CONFIG_KEY: config.model_dump_json(),
        WEIGHTS_KEY: model_sha256(folder),
        "opset": str(OPSET),
        "package_version": __version__,
        "statement": STATEMENT,
    }
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    content = model.SerializeToString()
    difference = largest_difference(content, network, config)
    if not difference <= TOLERANCE:
        raise OutputFailed(
            f"ONNX Runtime differs from PyTorch by {difference:.2g} (allowed {TOLERANCE:g}), "
            "so no file was written; try other versions of torch, onnxscript or onnxruntime."
        )
    return content


@torch.inference_mode()
def largest_difference(content: bytes, network: PatchUNet, config: ModelConfig) -> float:
    """Largest absolute difference of v between an ONNX file and its network.

    Several batches and sizes, each image at its own timestep; both float32 on the CPU.
    """
    session = open_session(content)
    generator = torch.Generator().manual_seed(0)
    divisor = config.network.divisor
    largest = 0.0
    for n, rows, columns in _COMPARED:
        shape = (n, config.network.in_channels, rows * divisor, columns * divisor)
        inputs = torch.randn(shape, generator=generator)
        t = torch.randint(config.n_timesteps, (n,), generator=generator)
        t[0] = config.n_timesteps - 1
        feed = {"inputs": inputs.numpy(), "t": t.numpy()}
        v = torch.from_numpy(session.run(["v"], feed)[0])
        # a NaN on either side must not pass
        largest = max(largest, float((v - network(inputs, t)).abs().nan_to_num(torch.inf).max()))
    return largest


def _convert(network: PatchUNet | OnnxNetwork, config: ModelConfig) -> Any:
    """The network as ``onnx.ModelProto``."""
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch needs it)
    except ImportError as error:
        raise InputRefused(
            "Exporting needs onnx and onnxscript; install the extra 'export': "
            "pip install 'napari-rsna-inpaint[export]'."
        ) from error
    divisor = config.network.divisor
    batch, rows, columns = (torch.export.Dim(name) for name in ("batch", "rows", "columns"))
    inputs = torch.zeros(2, config.network.in_channels, 2 * divisor, 3 * divisor)
    with _quiet():
        program = torch.onnx.export(
            network,
            (inputs, torch.zeros(2, dtype=torch.int64)),
            dynamo=True,
            opset_version=OPSET,
            input_names=["inputs", "t"],
            output_names=["v"],
            dynamic_shapes={
                "x": {0: batch, 2: divisor * rows, 3: divisor * columns},
                "t": {0: batch},
            },
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer):
        # traces of this machine's source files
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.checker.check_model(model)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on packages that this network does not use off the screen."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
