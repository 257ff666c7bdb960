"""The wording of notes, which say what becomes of a film apart from the painting."""

from __future__ import annotations


def named(kind: str) -> str:
    """What a stream of one of FFmpeg's kinds is called, such as "sound" for "audio"."""
    words = {"audio": "sound", "subtitle": "subtitles", "video": "a second picture"}
    return words.get(kind, kind)


def dropped(what: str, ending: str) -> str:
    """That a format cannot hold something: "chapters dropped: .avi cannot hold them".

    Args:
        what: in the plural if it ends in s.
        ending: of the file, such as ".avi".
    """
    them = "them" if what.partition(" (")[0].endswith("s") else "it"
    return f"{what} dropped: {ending} cannot hold {them}"
