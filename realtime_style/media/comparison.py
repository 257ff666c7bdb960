"""Comparison of a finished film with the film it was painted from: what is not in it any more."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from av.container import Container
from av.stream import Disposition

from realtime_style.media.description import describe

_OF_THE_FILE = frozenset((  # metadata that describes the previous file, not the film
    "major_brand", "minor_version", "compatible_brands", "encoder", "duration", "bps",
    "number_of_frames", "number_of_bytes", "_statistics_writing_app",
    "_statistics_writing_date_utc", "_statistics_tags", "alpha_mode", "software", "isvbr",
    "deviceconformancetemplate", "wmfsdkversion", "wmfsdkneeded", "metadatacreator", "hasvideo",
    "hasaudio", "hasmetadata", "haskeyframes", "hascuepoints", "canseektoend", "videosize",
    "audiosize", "datasize", "lasttimestamp", "lastkeyframetimestamp", "totalduration",
    "totaldatarate", "variant_bitrate",
))  # fmt: skip
_OF_MXF = frozenset((  # likewise in MXF: its own numbers, and the program that wrote it
    "operational_pattern_ul", "uid", "generation_uid", "company_name", "product_name",
    "product_version", "product_version_num", "product_uid", "toolkit_version_num",
    "application_platform", "modification_date", "material_package_umid", "file_package_umid",
    "reel_umid", "data_type",
))  # fmt: skip
_TAGS_OF_MP4 = frozenset((  # those that FFmpeg writes in the place of free keys
    "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright",
    "grouping", "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords",
    "episode_sort", "season_number", "media_type", "hd_video", "gapless_playback", "compilation",
    "track", "disc", "tmpo", "sort_name", "sort_artist", "sort_album", "sort_album_artist",
    "sort_composer", "sort_show", "location", "creation_time",
))  # fmt: skip
_OF_THE_CONTAINER = _OF_THE_FILE | {
    "handler_name",
    "vendor_id",
    "language",
    "creation_time",
    "stereo_mode",  # also found as side data
}
_NOT_MISSED = frozenset((  # applied, noted by the converter, or about how streams were encoded
    "displaymatrix", "display matrix", "cpb properties", "mastering display metadata",
    "content light level metadata",
    "spherical mapping", "audio service type", "replaygain", "skip samples",
))  # fmt: skip
REEL = "reel_name"  # the key of metadata
_WORDS = {
    "dovi configuration record": "Dolby Vision",
    "stereo 3d": "how the picture is split for two eyes (3D)",
}


_MARKS = {  # what a stream is for, which players show or choose it by; FFmpeg's names, and words
    "comment": "commentary", "forced": "forced", "hearing_impaired": "for the hard of hearing",
    "visual_impaired": "for the visually impaired", "dub": "dubbed", "original": "original",
    "lyrics": "lyrics", "karaoke": "karaoke", "clean_effects": "without voices",
    "captions": "captions", "descriptions": "descriptions",
}  # fmt: skip
_TO_QUICKTIME = {  # languages of two ISO 639-2 codes, to the one that QuickTime's table has
    "bod": "tib", "cym": "wel", "cze": "ces", "deu": "ger", "ell": "gre", "eus": "baq",
    "fas": "per", "fre": "fra", "hye": "arm", "isl": "ice", "kat": "geo", "mkd": "mac",
    "msa": "may", "mya": "bur", "nld": "dut", "rum": "ron", "slo": "slk", "sqi": "alb",
    "zho": "chi",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StreamContents:
    """What a film's file tells about a stream.

    Attributes:
        metadata: by key.
        side_data: its kinds, as FFmpeg calls them.
        marks: what it is for, in words, such as "commentary".
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    side_data: frozenset[str] = frozenset()
    marks: frozenset[str] = frozenset()

    @property
    def language(self) -> str | None:
        """Its language, always the same of several codes; None if it is not said."""
        language = self.metadata.get("language", "und")
        return None if language == "und" else one_code(language)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a film holds besides pictures and sound.

    Attributes:
        metadata: of the film, by key.
        streams: by their index.
        chapters: how many there are.
        covers: how many pictures are attached.
    """

    metadata: Mapping[str, str]
    streams: Mapping[int, StreamContents] = field(default_factory=dict)
    chapters: int = 0
    covers: int = 0


def one_code(language: str) -> str:
    """The code that QuickTime's table has for a language, if it has two; else its only one."""
    return _TO_QUICKTIME.get(language, language)


def has_free_keys(film: Container) -> bool:
    """Whether an MP4 or MOV has metadata under keys of its writer's, as cameras and phones do."""
    keys = {key.lower().split("-")[0] for key in film.metadata}
    return "mp4" in film.format.name and bool(keys - _TAGS_OF_MP4 - _OF_THE_FILE)


def of_the_film(metadata: Mapping[str, str], container_format: str) -> dict[str, str]:
    """Metadata without what describes the file that it was read from.

    Args:
        container_format: FFmpeg's name of the file's format.
    """
    ignored = _OF_THE_FILE | _OF_MXF if container_format == "mxf" else _OF_THE_FILE
    return {
        key: value for key, value in metadata.items() if key.lower().split("-")[0] not in ignored
    }


def contents_of(film: Container) -> Contents:
    """What an open film holds besides pictures and sound."""
    descriptions = describe(film)
    opened: Any = film
    metadata = of_the_film(film.metadata, film.format.name)
    streams, covers = {}, 0
    for stream in opened.streams:
        said = of_the_film(stream.metadata, film.format.name)
        if stream.type == "data":  # QuickTime's timecode track has the name of the reel
            metadata |= {key: value for key, value in said.items() if key == REEL}
        covers += Disposition.attached_pic in stream.disposition
        if stream.index in descriptions:
            marks = {
                word for name, word in _MARKS.items() if Disposition[name] in stream.disposition
            }
            side_data = descriptions[stream.index].side_data
            streams[stream.index] = StreamContents(said, side_data, frozenset(marks))
    return Contents(metadata, streams, len(opened.chapters()), covers)


def missing(
    before: Contents,
    after: Contents,
    streams: Mapping[int, int],
    *,
    chapters: int,
    covers: int = 0,
    has_languages: bool = True,
) -> list[str]:
    """What the film had, and the new film has not, each in a few words.

    Args:
        before: what the film held.
        after: what the new film holds.
        streams: indices of the streams that were carried over: the old one, and the new one.
        chapters, covers: how many were carried over.
        has_languages: whether languages are missed.
    """
    things = []
    in_streams = {value for stream in after.streams.values() for value in stream.metadata.values()}
    if keys := _missing_keys(before.metadata, after.metadata, _OF_THE_FILE, in_streams):
        things.append(f"metadata ({', '.join(keys)})")
    for old, new in streams.items():
        stream = before.streams.get(old, StreamContents())
        new_stream = after.streams.get(new, StreamContents())
        everywhere = {**after.metadata, **new_stream.metadata}
        if keys := _missing_keys(stream.metadata, everywhere, _OF_THE_CONTAINER):
            things.append(f"metadata of stream {old} ({', '.join(keys)})")
        if has_languages and stream.language not in (None, new_stream.language):
            things.append(f"the language of stream {old} ({stream.metadata['language']})")
        if marks := sorted(stream.marks - new_stream.marks):
            things.append(f"marks of stream {old} ({', '.join(marks)})")
        side_data = stream.side_data - new_stream.side_data - _NOT_MISSED
        things += [_WORDS.get(kind, kind) for kind in sorted(side_data)]
    if after.chapters < chapters:
        things.append("chapters")
    if after.covers < covers:
        things.append("cover")
    return things


def _missing_keys(
    before: Mapping[str, str],
    after: Mapping[str, str],
    ignored: frozenset[str],
    elsewhere: Set[str] = frozenset(),
) -> list[str]:
    """Keys of values that are found neither under their key nor under another one, or elsewhere."""
    keys = {key.lower() for key in after}
    values = {*after.values(), *elsewhere}
    return [
        key
        for key, value in before.items()
        if value
        and key.lower() not in keys
        and value not in values
        and key.lower().split("-")[0] not in ignored
    ]
