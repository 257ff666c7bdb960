"""The operating system: files, paths, cores, memory, signals."""
