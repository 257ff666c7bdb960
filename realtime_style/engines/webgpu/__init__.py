"""Any GPU through WebGPU: a style's network as a short list of compute passes, written in WGSL."""
