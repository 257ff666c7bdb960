"""From frame to painted frame."""
