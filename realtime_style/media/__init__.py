"""Films, pictures and animations, read and written."""
