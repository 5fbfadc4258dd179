"""``export-onnx``: a model as one ONNX file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

HELP = "write a model as one ONNX file, compared with PyTorch, for --backend onnx"


def add_arguments(parser: ArgumentParser) -> None:
    """Model and file."""
    parser.add_argument("--model", metavar="NAME|PATH", help="installed model or model folder")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: denoiser.onnx in its folder"
    )


def run(arguments: Namespace) -> int:
    """Write the file, once it has been found to give what PyTorch gives."""
    from napari_rsna_inpaint.detection.calibration import check_writable
    from napari_rsna_inpaint.diffusion.model import find_model
    from napari_rsna_inpaint.diffusion.onnx_denoiser import ONNX
    from napari_rsna_inpaint.diffusion.onnx_export import OPSET, export_onnx
    from napari_rsna_inpaint.io.write import write_atomic

    folder = find_model(arguments.model)
    if arguments.output is None:
        check_writable(folder)
    path = arguments.output or folder / ONNX
    content = export_onnx(folder)
    write_atomic(path, content)
    print(f"{path}: {len(content) / 1e6:.1f} MB, opset {OPSET}")
    return 0
