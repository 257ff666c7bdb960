"""NVIDIA's TensorRT: engines are built for the GPU that they run on, and cached."""
