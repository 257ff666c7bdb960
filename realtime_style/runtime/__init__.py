"""Frames from a source through a stylizer to a sink."""
