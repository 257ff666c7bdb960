"""Jobs: films, pictures and batches, from request to result."""
