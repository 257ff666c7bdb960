"""Painters, which turn frames into painted frames, and the chain that combines them."""
