"""Films, pictures and animations: reading and writing them."""
