"""Engines, which run a style's network: one module per engine, a table of them, and opening."""
