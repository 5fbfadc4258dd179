"""Noise schedule, samplers and denoisers of the conditional inpainting model."""

#: What can run the network: PyTorch (float32 on a CPU, bfloat16 on a GPU), PyTorch in bfloat16
#: on a CPU that computes in it, or ONNX Runtime in float32 or 8 bits.
BACKENDS = ("torch", "torch-bf16", "onnx", "onnx-int8")
