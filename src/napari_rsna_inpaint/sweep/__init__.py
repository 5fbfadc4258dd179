"""Thresholds swept over finished results: what would be shown, and what it would be worth."""
