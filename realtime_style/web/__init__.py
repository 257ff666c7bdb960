"""The web page: paints a browser's camera live, and films and pictures that are dropped on it."""
