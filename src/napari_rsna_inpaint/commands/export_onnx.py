"""``export-onnx``: a model as one ONNX file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_rsna_inpaint.diffusion.onnx_int8 import NetworkCall

HELP = "write a model as one ONNX file, compared with PyTorch, for --backend onnx"


def add_arguments(parser: ArgumentParser) -> None:
    """Model, file and precision."""
    parser.add_argument("--model", metavar="NAME|PATH", help="installed model or model folder")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="default: denoiser.onnx (or denoiser-int8.onnx) in the model's folder",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="in 8 bits, for --backend onnx-int8: faster on a CPU, not quite the same results",
    )
    parser.add_argument(
        "--calibration-data",
        type=Path,
        nargs="+",
        metavar="INPUT",
        help="scans that show --int8 the range of its numbers (default: built-in phantoms)",
    )


def run(arguments: Namespace) -> int:
    """Write the file, once it has been found to give what PyTorch gives."""
    from napari_rsna_inpaint.detection.calibration import check_writable
    from napari_rsna_inpaint.diffusion.model_folder import find_model
    from napari_rsna_inpaint.diffusion.onnx_denoiser import FILES
    from napari_rsna_inpaint.diffusion.onnx_export import OPSET, export_onnx
    from napari_rsna_inpaint.diffusion.onnx_int8 import quantize
    from napari_rsna_inpaint.errors import UsageError
    from napari_rsna_inpaint.io.write import write_atomic

    if arguments.calibration_data and not arguments.int8:
        raise UsageError("--calibration-data belongs to --int8; give both or none.")
    folder = find_model(arguments.model)
    if arguments.output is None:
        check_writable(folder)
    content = export_onnx(folder, quantizable=arguments.int8)
    said = f"opset {OPSET}"
    if arguments.int8:
        content, loss = quantize(content, _calls(folder, arguments.calibration_data))
        said += f", 8 bits with a relative error of {loss:.1%}"
    path = arguments.output or folder / FILES["onnx-int8" if arguments.int8 else "onnx"]
    write_atomic(path, content)
    print(f"{path}: {len(content) / 1e6:.1f} MB, {said}")
    return 0


def _calls(folder: Path, scans: Iterable[Path] | None) -> list[NetworkCall]:
    from napari_rsna_inpaint.detection.network_inputs import network_inputs
    from napari_rsna_inpaint.diffusion.model import load_denoiser
    from napari_rsna_inpaint.evaluate.phantom import head_phantom
    from napari_rsna_inpaint.io import read

    denoiser = load_denoiser(folder, device="cpu")
    # blood drives the activations further than healthy brain does
    phantoms = (head_phantom(seed=5), head_phantom(seed=6, bleed="intraparenchymal"))
    volumes = map(read, scans) if scans else (phantom.volume for phantom in phantoms)
    return [call for volume in volumes for call in network_inputs(volume, denoiser)]
