"""Data set, hole generator and loop that train the denoiser."""
