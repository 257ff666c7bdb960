"""The errors a user can meet. Each message says what was found, what was expected, what to do."""


class StyleError(Exception):
    """Anything this package refuses or fails at; the CLI prints it as one line."""


class MediaError(StyleError):
    """A film, picture or sound that cannot be read or written."""


class StyleFileError(StyleError):
    """A style file that cannot be trusted, read or found."""


class EngineError(StyleError):
    """An inference engine that is missing, or fails."""


class TrainingError(StyleError):
    """Training data, checkpoints or settings that cannot be used."""
