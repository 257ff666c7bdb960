"""Comparison of a finished film with the film it was painted from: what is not in it any more."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from av.container import Container

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
_WORDS = {
    "dovi configuration record": "Dolby Vision",
    "stereo 3d": "how the picture is split for two eyes (3D)",
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What a film holds besides pictures and sound.

    Attributes:
        metadata: of the film, by key.
        streams: of each stream by its index: its metadata, and the kinds of its side data.
        chapters: how many there are.
    """

    metadata: Mapping[str, str]
    streams: Mapping[int, tuple[Mapping[str, str], frozenset[str]]] = field(default_factory=dict)
    chapters: int = 0


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
    streams = {
        stream.index: (
            of_the_film(stream.metadata, film.format.name),
            descriptions[stream.index].side_data,
        )
        for stream in film.streams
        if stream.index in descriptions
    }
    opened: Any = film
    return Contents(of_the_film(film.metadata, film.format.name), streams, len(opened.chapters()))


def missing(
    before: Contents, after: Contents, streams: Mapping[int, int], chapters: int
) -> list[str]:
    """What the film had, and the new film has not, each in a few words.

    Args:
        before: what the film held.
        after: what the new film holds.
        streams: indices of the streams that were carried over: the old one, and the new one.
        chapters: how many were carried over.
    """
    things = []
    in_streams = {value for metadata, _ in after.streams.values() for value in metadata.values()}
    if keys := _missing_keys(before.metadata, after.metadata, _OF_THE_FILE, in_streams):
        things.append(f"metadata ({', '.join(keys)})")
    for old, new in streams.items():
        metadata, side_data = before.streams.get(old, ({}, frozenset()))
        new_metadata, new_side_data = after.streams.get(new, ({}, frozenset()))
        everywhere = {**after.metadata, **new_metadata}
        if keys := _missing_keys(metadata, everywhere, _OF_THE_CONTAINER):
            things.append(f"metadata of stream {old} ({', '.join(keys)})")
        things += [
            _WORDS.get(kind, kind) for kind in sorted(side_data - new_side_data - _NOT_MISSED)
        ]
    if after.chapters < chapters:
        things.append("chapters")
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
