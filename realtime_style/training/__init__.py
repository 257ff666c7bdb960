"""Training: a painting and photos in, a generator out. The only part that needs torch."""
