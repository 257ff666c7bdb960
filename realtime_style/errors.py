"""The errors a user can meet. Each message says what was found and what was expected."""

from __future__ import annotations


class StyleError(Exception):
    """Anything this package refuses or fails at; the message is one line.

    Attributes:
        setting: the name of the argument that caused it, such as "duration_s"; None where no
            argument did. The command line names the matching option instead.
    """

    def __init__(self, message: str, *, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting


class MediaError(StyleError):
    """A film, picture or sound that cannot be read or written."""


class StyleFileError(StyleError):
    """A style file that cannot be trusted, read or found."""


class EngineError(StyleError):
    """An inference engine that is missing, or fails."""


class TrainingError(StyleError):
    """Training data, checkpoints or settings that cannot be used."""
