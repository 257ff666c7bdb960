"""NVIDIA's TensorRT: engines are built for one GPU, kept, and run there."""
