"""Exports trained networks to ONNX, and has the scripts that train the bundled networks."""
