"""One study with two findings."""

IDENTITY = {
    "source_id": "pseudonym-of-a-series",
    "pixel_sha256": "0f" * 32,
    "shape": [30, 512, 512],
    "spacing_mm": [5.0, 0.488281, 0.488281],
}
FINDINGS = [
    {"id": "F1", "slices": (12, 14), "sign": "hyper", "score": 0.9, "volume_ml": 3.5},
    {"id": "F2", "slices": (20, 20), "sign": "hypo", "score": 0.4, "volume_ml": 1.0},
]
FEATURES = {"F1": [0.9, 12.5], "F2": [0.4, -8.0]}
