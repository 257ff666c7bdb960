"""Rewrites a style's ONNX model for an engine: to int8, to one float type, or to NV12."""
