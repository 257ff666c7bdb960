"""Live: a camera, a screen or a film played, painted as it comes; needs only the runtime."""
