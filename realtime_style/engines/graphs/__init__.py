"""What is done to a network before an engine takes it."""
