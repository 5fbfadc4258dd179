"""The ONNX file in 8 bits: smaller and faster on a CPU, not quite the same network."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.diffusion.onnx_denoiser import open_session
from napari_rsna_inpaint.errors import OutputFailed

#: Network inputs ``(N, 6, H, W)`` float32 and the timestep of all of them.
NetworkCall = tuple[npt.NDArray[np.float32], int]
#: Relative error of v, root mean square, above which no file is made.
TOLERANCE = 0.05


def quantize(content: bytes, calls: Sequence[NetworkCall]) -> tuple[bytes, float]:
    """Static 8-bit quantization of an exported network (QDQ format).

    Inner convolutions get 8-bit weights (per channel, of 7 bits' range, which CPUs without
    VNNI instructions need) and activations; the first and the last convolution, the
    normalisations and the time embedding stay float32.

    Parameters
    ----------
    content
        File of ``export_onnx``, quantizable.
    calls
        What the network is fed in use. Every fourth is kept for measuring the loss, the
        others give the ranges of the activations.

    Returns
    -------
    The file, with the metadata of ``content`` and the loss, and the loss itself: error of v
    relative to float32, root mean square.

    Raises
    ------
    OutputFailed
        If more than ``TOLERANCE`` of the output is lost.
    """
    held_out = calls[::4]
    smaller = _quantized(content, [call for k, call in enumerate(calls) if k % 4])
    loss = relative_error(smaller, content, held_out)
    if not loss <= TOLERANCE:
        raise OutputFailed(
            f"In 8 bits the network loses {loss:.1%} of its output (allowed {TOLERANCE:.0%}), so "
            "no file was written; give other scans with --calibration-data."
        )
    import onnx

    model = onnx.load_from_string(smaller)
    onnx.helper.set_model_props(
        model,
        {
            **{entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props},
            "int8_relative_error": f"{loss:.4f}",
        },
    )
    return model.SerializeToString(), loss


def relative_error(content: bytes, reference: bytes, calls: Sequence[NetworkCall]) -> float:
    """Error of v of one ONNX file relative to another, root mean square over all calls."""
    changed, original = open_session(content), open_session(reference)
    error = size = 0.0
    for call in calls:
        v = original.run(["v"], _feed(call))[0]
        error += float(np.square(changed.run(["v"], _feed(call))[0] - v).sum())
        size += float(np.square(v).sum())
    return math.sqrt(error / size)


def _feed(call: NetworkCall) -> dict[str, npt.NDArray]:
    inputs, t = call
    return {"inputs": inputs, "t": np.full(len(inputs), t, np.int64)}


def _quantized(content: bytes, calls: Sequence[NetworkCall]) -> bytes:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds: Iterator = map(_feed, calls)

        def get_next(self) -> dict | None:
            return next(self._feeds, None)

    model = onnx.load_from_string(content)
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises on other networks
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantize_static(
                model,
                path,
                Reader(),
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=[convolutions[0], convolutions[-1]],
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return path.read_bytes()
    finally:
        logging.root.setLevel(level)
