"""Noise schedule, samplers and denoisers of the conditional inpainting model."""
