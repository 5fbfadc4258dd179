"""Everything that touches Qt or napari; nothing outside imports it."""
