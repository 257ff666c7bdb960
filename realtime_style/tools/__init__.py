"""Commands that examine, measure and demonstrate."""
