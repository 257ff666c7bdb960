"""NVIDIA's TensorRT: engines are built for one GPU, cached, and run on it."""
