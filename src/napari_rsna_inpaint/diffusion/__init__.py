"""Noise schedule, samplers and denoisers of the conditional inpainting model."""

#: What can run the network: PyTorch, or ONNX Runtime in float32 or 8 bits.
BACKENDS = ("torch", "onnx", "onnx-int8")
