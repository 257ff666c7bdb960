"""Live painting of a camera, a screen or a film as it plays; needs no training dependency."""
