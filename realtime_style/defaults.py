"""Defaults that the library and the command line share; importing them loads nothing."""

from __future__ import annotations

DEFAULT_STYLE = "starry-night"

DEFAULT_STABILITY = 0.5
"""Flicker reduction, from 0 (none) to 1."""

SHARP_STEPS = 200
"""Steps in which training lays strokes over photos."""
