"""What a model card says of the terms of its weights."""

from __future__ import annotations

from pathlib import Path

CARD = "card.md"


def licence(folder: Path) -> str:
    """The line of the model card that begins with ``Licence:``."""
    card = folder / CARD
    lines = card.read_text("utf-8").splitlines() if card.is_file() else []
    stated = [line for line in lines if line.startswith("Licence:")]
    return stated[0] if stated else "Licence: not stated; ask whoever made the model."
