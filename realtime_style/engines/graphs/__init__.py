"""Changes that engines make to a style's network before they load it."""
