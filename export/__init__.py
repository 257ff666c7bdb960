"""From trained generators to files that run anywhere; torch only in to_onnx and parity."""
