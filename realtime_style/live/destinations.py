"""Opens recordings, streams and virtual cameras; if one cannot be used, the error says why."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from realtime_style.errors import MediaError
from realtime_style.live.encoded_sink import STREAM_FORMATS, EncodedSink
from realtime_style.live.output import Output, OutputKind
from realtime_style.live.sound import SoundBus
from realtime_style.live.virtual_camera import VirtualCameraSink
from realtime_style.system.paths import refuse_unwritable

_RECORDINGS = (".mp4", ".mov", ".mkv")


def refuse_recording(path: Path, *, overwrite: bool = False) -> None:
    """Raises MediaError if a recording cannot be written to a path.

    That is if its name does not end in .mp4, .mov or .mkv, its folder is missing, or the file
    exists and may not be replaced.
    """
    if path.suffix.lower() not in _RECORDINGS:
        raise MediaError(
            f"{path} cannot be recorded to; the name must end in .mp4, .mov or .mkv",
            setting="record",
        )
    refuse_unwritable(path, "out.mp4", overwrite=overwrite, setting="record")


def recording(
    path: Path,
    size: tuple[int, int],
    rate: Fraction,
    *,
    overwrite: bool = False,
    sounds: SoundBus | None = None,
) -> Output:
    """An output that records to a file.

    Args:
        path: the file, .mp4, .mov or .mkv.
        size: (width, height) of the recording in pixels, even; frames are scaled to it.
        rate: frames per second, at most.
        overwrite: whether an existing file may be replaced.

    Raises:
        MediaError: as `refuse_recording`.
    """
    refuse_recording(path, overwrite=overwrite)
    return Output(
        OutputKind.RECORDING,
        str(path),
        lambda first: EncodedSink(str(path), first, size, rate, sent=False, sounds=sounds),
    )


def refuse_stream(address: str) -> None:
    """Raises MediaError if an address is not of a kind that can be streamed to."""
    scheme, _, host = address.partition("://")
    if scheme not in STREAM_FORMATS or not host:
        raise MediaError(
            f"{address} cannot be streamed to; an address begins with "
            f"{', '.join(f'{name}://' for name in STREAM_FORMATS)}, "
            "for example udp://192.168.1.5:5000",
            setting="streams",
        )
    if scheme in ("udp", "tcp") and ":" not in host:
        raise MediaError(
            f"{address} has no port; give one, such as {address}:5000", setting="streams"
        )


def stream(
    address: str, size: tuple[int, int], rate: Fraction, *, sounds: SoundBus | None = None
) -> Output:
    """An output that streams to an address, trying again and again until a server answers.

    Args:
        address: such as udp://192.168.1.5:5000; see STREAM_FORMATS.
        size, rate: as in `recording`.

    Raises:
        MediaError: as `refuse_stream`.
    """
    refuse_stream(address)
    return Output(
        OutputKind.STREAM,
        address,
        lambda first: EncodedSink(address, first, size, rate, sent=True, sounds=sounds),
        retries=True,
    )


def virtual_camera(size: tuple[int, int], rate: float) -> Output:
    """An output that other programs see as a camera.

    Args:
        size: (width, height) of the camera in pixels, even; frames are scaled to it.
        rate: frames per second.

    Raises:
        MediaError: no virtual camera is installed.
    """
    sink = VirtualCameraSink(size, rate)
    return Output(OutputKind.VIRTUAL_CAMERA, sink.device, lambda _: sink)
