"""Style files: what they hold, how they are checked when read, and how they are blended."""
