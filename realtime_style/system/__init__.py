"""What the operating system gives: files, paths, cores, memory, interrupts."""
