"""Style files: what they hold, how they are read and blended."""
