"""Phantoms and measures that say how well detection works."""
