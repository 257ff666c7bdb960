"""Turns trained networks into files that run anywhere, and scripts that train the bundled ones."""
