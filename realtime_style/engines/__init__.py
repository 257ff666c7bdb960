"""Engines run a style's network on planes: an adapter a file, one table, one way to open them."""
