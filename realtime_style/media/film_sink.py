"""Films as sinks of painted frames: an encoder and a muxer, and the file that they write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from errno import EEXIST
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from realtime_style.errors import MediaError, StyleError
from realtime_style.frame import Frame, GpuFrame, StreamInfo
from realtime_style.media.animation import GifTimes, loop_options, set_last_duration
from realtime_style.media.comparison import has_free_keys
from realtime_style.media.demuxer import nvidia_device
from realtime_style.media.encoder import Encoder, Shown
from realtime_style.media.encoding import (
    Encoding,
    encoder_name,
    encoder_options,
    gpu_encoder_name,
)
from realtime_style.media.even_steps import EvenSteps, Numbers, Repeats
from realtime_style.media.muxer import Muxer
from realtime_style.media.packet import Packet
from realtime_style.media.passthrough import PassthroughSource
from realtime_style.media.pipes import OutputPipe
from realtime_style.system.interrupts import deferred
from realtime_style.system.paths import (
    ffmpeg_name,
    ffmpeg_pattern,
    is_numbered,
    is_special,
    name_of,
    numbered,
    refuse_unwritable,
    with_mark,
)
from realtime_style.system.whole_file import PartialFile, PartialSequence
from realtime_style.wording import counted, out_name

_MAX_TICKS = 1_000_000  # per second
_FRAMES_TO_EXPECT_BY = 25  # with fewer, the first, a large one, counts too much
_MP4 = (".mp4", ".mov", ".m4v", ".3gp", ".3g2")  # the endings of one format
_SEGMENTED = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".m2ts", ".mts")
_BRANDS = {".m4v": "M4V "}  # in MP4: FFmpeg's own format for it has no covers, and fewer codecs
_LISTS, _RAW = "it is a list of many files", "it does not say how large its pictures are"
_NO_FILMS = {  # endings that FFmpeg takes too
    ".m3u8": _LISTS, ".mpd": _LISTS, ".chk": "it is a part of a film", ".yuv": _RAW, ".rgb": _RAW,
    ".flac": "it holds only sound", ".ffmeta": "it holds only metadata",
}  # fmt: skip
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


class _NotReplacedError(MediaError):
    """The new film is complete, but under another name."""


class FileSink:
    """A film, which need not be one file.

    Files are written under a hidden name, and put in place when they are complete. "-" is standard
    output (Matroska), a pattern such as frame_%04d.png a sequence of pictures. Named pipes and
    devices are written to as they are.

    If its context is left by KeyboardInterrupt or an error, the frames written so far become a film
    too, under its own name (out.stopped.mp4); the message of a StyleError says so. A second
    KeyboardInterrupt ends it with the frames that are in the file by then. One that comes while the
    film is being completed waits until that is done.

    Attributes:
        path: where the film goes.
        name: what messages call it.
        complete_path: where the film is; None until it is complete, and for pipes.
    """

    def __init__(
        self,
        path: Path | str,
        info: StreamInfo,
        *,
        size: tuple[int, int] | None = None,
        encoding: Encoding = Encoding(),
        passthrough_of: PassthroughSource | None = None,
        overwrite: bool = False,
        gpu_device: int | None = None,
        threads: int | None = None,
    ) -> None:
        """Opens the film for writing.

        Args:
            info: the frames that will come.
            size: width and height of the film, in pixels, even; None takes the frames'.
            passthrough_of: the film whose sound, subtitles, chapters and all else to carry over;
                not read from yet.
            overwrite: whether an existing film may be replaced, once the new one is complete.
            gpu_device: the number of the NVIDIA GPU that encodes frames in its memory; None
                encodes frames in main memory.
            threads: how many the encoder starts; None leaves it to this machine.

        Raises:
            MediaError: the path, the container or the encoder cannot be used.
        """
        self.path, self.name = Path(path), out_name(path)
        self.complete_path: Path | None = None
        self._notes: list[str] = []
        self._is_broken = False  # after an error nothing can be written any more
        self._steps: EvenSteps | Numbers | None = None
        self._repeats: Repeats | None = None
        self._overwrite = overwrite
        self._suffix = self.path.suffix.lower()
        if self._suffix == ".avi":
            self._steps = EvenSteps(info, self._suffix)
            info = replace(info, time_base=self._steps.time_base)
        self._info = info
        self._is_sequence = is_numbered(self.path)
        self._kept_frames: int | None = None  # of a film that was stopped twice
        self._gif_times = GifTimes() if self._suffix == ".gif" else None
        self._joined_last: Packet | None = None  # of a film that was encoded already
        self._pipe: OutputPipe | None = None
        self._file: PartialFile | PartialSequence | None = None
        self._undoing = contextlib.ExitStack()  # what is to be undone if there is no film
        if str(path) == "-":
            self._pipe = OutputPipe()
        else:
            self._refuse_unwritable(overwrite)
            if is_special(self.path):
                self._pipe = OutputPipe(self.path)
        try:
            with self._uninterrupted():  # Ctrl-C waits: all that is opened is also undone
                if self._pipe:
                    self._undoing.callback(self._pipe.close)
                else:
                    self._file = (PartialSequence if self._is_sequence else PartialFile)(self.path)
                    self._undoing.callback(self._file.discard)
                self._muxer = self._open_muxer(passthrough_of)
                self._undoing.callback(self._muxer.discard)
                self._info = self._with_even_times(info)
                self._encoder = open_encoder(
                    self._muxer,
                    self.path,
                    self._info,
                    encoding,
                    size=size,
                    gpu_device=gpu_device,
                    threads=threads,
                )
                if passthrough_of:
                    self._muxer.pass_through(passthrough_of)
                self._start()
        except BaseException:
            self.discard()
            raise

    def _refuse_unwritable(self, overwrite: bool) -> None:
        existing = sorted(numbered(self.path).values()) if self._is_sequence else []
        first = self.path.with_name(name_of(self.path, 1)) if self._is_sequence else self.path
        refuse_unwritable(existing[0] if existing else first, "out.mp4", overwrite=overwrite)
        if (reason := _NO_FILMS.get(self._suffix)) is not None:
            raise MediaError(
                f"{self._suffix} is no ending of a film: {reason}; give another, such as .mp4",
                setting="out",
            )
        if self._suffix in _PICTURES and not self._is_sequence:
            raise MediaError(
                f"{self.path} is one picture, not a film; give a pattern for all frames, such as "
                f"frame_%04d{self.path.suffix}, or a film, such as {self.path.stem}.mp4",
                setting="out",
            )

    def _open_muxer(self, source: PassthroughSource | None) -> Muxer:
        """The container, with options of its format."""
        options = self._format_options(source)
        ending = self.path.suffix or ".mkv"
        try:
            if self._file is None:
                assert self._pipe
                matroska = None if self.path.suffix else "matroska"
                return Muxer(self._pipe, ending=ending, container_format=matroska, options=options)
            if self._is_sequence:
                target = ffmpeg_pattern(self._file.partial)
                return Muxer(target, ending=ending, container_format="image2")
            return Muxer(
                ffmpeg_name(self._file.partial),
                ending=ending,
                container_format=container_of(self.path),
                options=options,
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MediaError(
                f"{self.name} cannot be written: {reason}; its ending must name a film format, "
                "such as .mp4, .mkv, .mov or .webm",
                setting="out",
            ) from error

    def _with_even_times(self, info: StreamInfo) -> StreamInfo:
        """What the encoder gets, in a format without times; else the same."""
        if self._muxer.has_times:
            return info
        if self._muxer.rates:
            self._repeats = Repeats(info, self._suffix, self._muxer.rates)
            return replace(info, rate=self._repeats.rate, time_base=self._repeats.time_base)
        self._steps = Numbers(info, self._suffix)
        return replace(info, time_base=self._steps.time_base)

    def _format_options(self, source: PassthroughSource | None) -> dict[str, str]:
        """FFmpeg's options of the format."""
        options = {}
        if self._suffix in _MP4:
            # edit lists count in the movie's ticks: coarser than the frames', they move starts
            ticks = max(1000, min(self._info.time_base.denominator, _MAX_TICKS))
            # in a pipe the header waits for the first frames, as only these say when they begin
            flags = "frag_keyframe+delay_moov+default_base_moof" if self._pipe else "+faststart"
            if source and has_free_keys(source.container):
                flags += "+use_metadata_tags"  # FFmpeg drops them in the place of other tags
            options = {"movflags": flags, "movie_timescale": str(ticks)}
            if brand := _BRANDS.get(self._suffix):
                options["brand"] = brand
        plays = source.plays if source and not self._is_sequence else None
        loops = {} if self._is_sequence else loop_options(self._suffix, plays)
        if plays not in (None, 1) and not loops:
            how_often = f"{plays} times" if plays else "for ever"
            self._notes.append(
                f"{self._suffix or '.mkv'} cannot say that it is played {how_often}: most players "
                "play it once"
            )
        return options | loops

    def _start(self) -> None:
        """Creates the file: if that is impossible, better now than half-way."""
        try:
            self._muxer.start()
        except (av.FFmpegError, OSError) as error:
            raise MediaError(
                f"{self.name} cannot be written: {error.strerror}", setting="out"
            ) from error

    @property
    def frames(self) -> int:
        """How many frames the film has, once it is complete; until then, how many were given."""
        return self._encoder.frames if self._kept_frames is None else self._kept_frames

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the film, in pixels."""
        return self._encoder.size

    @property
    def size_bytes(self) -> int:
        """How large the film is; until it is complete, and for pictures, what is written of it."""
        if self.complete_path and not self._is_sequence:
            return self.complete_path.stat().st_size
        return self._muxer.packet_bytes

    @property
    def duration_s(self) -> float:
        """How long the frames that are written are shown, in seconds."""
        return float(self._encoder.shown * self._info.time_base)

    def expected_bytes(self, frames: int) -> int | None:
        """How large a film of so many frames will be, by those that are written; None too early."""
        if self._encoder.frames_out < _FRAMES_TO_EXPECT_BY:
            return None
        return round(self.size_bytes / self._encoder.frames_out * frames)

    @property
    def notes(self) -> list[str]:
        """What passes through but is not simply copied, and what was dropped."""
        notes = [*self._notes, *self._muxer.notes]
        times = self._steps or self._repeats
        if times and times.note:
            notes.append(times.note)
        if self._encoder.has_bars:
            notes.append("the pictures have another shape than the film, and get bars")
        if self._gif_times and self._gif_times.dropped:
            frames = counted(self._gif_times.dropped, "frame")
            notes.append(f"{frames} dropped: GIF cannot show them so briefly")
        if isinstance(self._file, PartialSequence) and self._file.removed:
            pictures = counted(self._file.removed, "picture")
            notes.append(f"removed {pictures} of the previous sequence")
        return notes

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the encoder in use."""
        return self._encoder.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        is_stopped = kind is not None and issubclass(kind, KeyboardInterrupt)
        if isinstance(error, Exception) and self.frames and self._file:
            self._keep_before(error, self._file)
            return
        if kind is not None and not (is_stopped and self.frames):
            self.discard()
            return
        try:
            was_stopped = self._complete(is_stopped)
        except _NotReplacedError:
            raise
        except KeyboardInterrupt:
            if self.complete_path is None:
                self.discard()
            raise
        except BaseException as failure:  # whatever it is, all frames have been painted
            raise self._not_completed(failure) from failure
        if was_stopped and not is_stopped:
            raise KeyboardInterrupt

    def write(self, frame: Frame | GpuFrame) -> None:
        """See `FrameSink.write`."""
        if self._gif_times and not self._gif_times.takes(frame.pts, frame.time_base):
            return
        frames = [self._steps.placed(frame) if self._steps else frame]
        if self._repeats:
            frames = [*self._repeats.placed(frame)]
            self._muxer.begin(self._repeats.begins_s)
        try:
            with self._uninterrupted():
                for each in frames:
                    self._muxer.mux(self._encoder.encode(each))
        except (av.FFmpegError, OSError) as error:
            self._is_broken = True
            raise MediaError(f"{self.name} cannot be written: {error.strerror}") from error
        if self._pipe:
            self._pipe.interrupt.check()

    def join(self, packets: Iterable[Packet], shown: Shown) -> None:
        """Writes a film that has been encoded already; instead of `write`.

        Args:
            packets: of all painted pictures, in decoding order, with times in ticks of `info`.
            shown: what they show.

        Raises:
            MediaError: they cannot be written. Leaving the context then leaves nothing behind.
        """
        last: Packet | None = None
        try:
            for packet in packets:
                packet.time_base = self._info.time_base
                self._muxer.adopt(packet)
                if last is not None:
                    self._muxer.mux([last])
                last = packet
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{self.name} cannot be written: {error.strerror}") from error
        self._encoder.take_over(shown)
        self._joined_last = last

    def _uninterrupted(self) -> contextlib.AbstractContextManager[None]:
        """Within it no packet is lost between encoder and file.

        A pipe's reader may stop reading for any time: there Ctrl-C must not wait.
        """
        return contextlib.nullcontext() if self._pipe else deferred()

    def _complete(self, is_stopped: bool) -> bool:
        """Writes what the encoder holds, and puts the film in place; whether it was stopped."""
        is_stopped, last = self._drain(is_stopped)
        if is_stopped and not self._encoder.frames_out:
            self.discard()
            return True
        with self._uninterrupted():  # Ctrl-C waits for this, or the film would be lost
            self._finish(last, is_stopped)
            if self._file:
                target = self._name_if_stopped() if is_stopped else self.path
                self._put_in_place(self._file, target)
                self.complete_path = target
            if self._pipe:
                self._pipe.close()
        return is_stopped

    def _finish(self, last: Packet | None, is_stopped: bool) -> None:
        """Writes the last packets of all streams, and closes the film."""
        encoder = self._encoder
        if last is not None and encoder.last_duration:
            self._muxer.mux_last(last, encoder.end_pts)
        elif last is not None:
            self._muxer.mux([last])
        end_s = float(encoder.end_pts * self._info.time_base)
        self._muxer.finish(end_s, is_stopped=is_stopped)
        if self._file and self._suffix == ".webp" and not self._is_sequence:
            shown_ms = round(encoder.last_duration * self._info.time_base * 1000)
            set_last_duration(self._file.partial, shown_ms)
        if isinstance(self._file, PartialFile):
            self._muxer.keep_defaults(self._file.partial)
            self._muxer.compare(self._file.partial)

    def _drain(self, is_stopped: bool) -> tuple[bool, Packet | None]:
        """Muxes what the encoder holds, all but the last packet; whether the film was stopped.

        The first Ctrl-C, before this call or during it, stops the film but keeps all its frames; at
        the second one it ends with the frames that are muxed.
        """
        if self._joined_last is not None:
            self._kept_frames = self._encoder.frames_out
            return is_stopped, self._joined_last
        again = self._repeats.last() if self._repeats else []
        groups = chain(map(self._encoder.encode, again), self._encoder.flush())
        last: Packet | None = None
        while not (self._pipe and self._pipe.interrupt.is_set):  # then the reader has gone
            try:
                with self._uninterrupted():
                    packets = next(groups, None)
                    if packets is None:
                        break
                    if packets:
                        self._muxer.mux([*([last] if last else []), *packets[:-1]])
                        last = packets[-1]
            except KeyboardInterrupt:
                if is_stopped:
                    break
                is_stopped = True
        self._kept_frames = self._encoder.frames_out
        return is_stopped, last

    def _keep_before(self, error: Exception, file: PartialFile | PartialSequence) -> None:
        """Keeps the frames before an error as a film of their own, under the name of a stopped one.

        Raises the error again, with the name of that film, if there is one.
        """
        kept = ""
        try:
            if not self._is_broken:
                self._complete(is_stopped=True)
                kept = f"frames kept in {self.complete_path}: {self.frames}"
        except (StyleError, av.FFmpegError, OSError, ValueError):
            self._is_broken = True  # the first error is the one to report
        finally:
            if self._is_broken:
                with contextlib.suppress(StyleError, OSError):
                    kept = self._kept_unfinished(file)
            self.discard()  # does nothing to a film that is in its place
        if self.complete_path and isinstance(error, StyleError):
            raise type(error)(f"{error}; {kept}", setting=error.setting) from error
        if self.complete_path:
            error.add_note(kept)

    def _kept_unfinished(self, file: PartialFile | PartialSequence) -> str:
        """Keeps what can be read of a file that cannot be completed; says where that is."""
        self._muxer.discard()
        if isinstance(file, PartialSequence):
            file.remove_last()
        if not (
            _is_film(file.partial) if isinstance(file, PartialFile) else numbered(file.partial)
        ):
            return ""
        target = self._name_if_stopped()
        self._put_in_place(file, target)
        self.complete_path = target
        return f"what was written is {target}"

    def _name_if_stopped(self) -> Path:
        """A free name for the frames written so far: nothing is replaced by them."""
        paths = (with_mark(self.path, f".stopped{i or ''}") for i in count())
        return next(path for path in paths if not self._exists(path))

    def _put_in_place(self, file: PartialFile | PartialSequence, target: Path) -> None:
        try:
            if not self._overwrite and self._exists(target):
                raise FileExistsError(EEXIST, "another program has created it meanwhile")
            file.put_in_place(target)
        except OSError as error:
            kept = file.keep(target)
            raise _NotReplacedError(
                f"{target} cannot be written: {error.strerror}; the painted film was saved as "
                f"{kept}",
                setting="out",
            ) from error

    def _exists(self, path: Path) -> bool:
        return bool(numbered(path)) if self._is_sequence else path.exists()

    def _not_completed(self, failure: BaseException) -> MediaError:
        """Keeps what has been written, under another name; the error that says so."""
        reason = getattr(failure, "strerror", None) or failure
        if not self.frames or self._joined_last is not None:
            self.discard()
            return MediaError(f"{self.name} could not be completed: {reason}", setting="out")
        self._muxer.discard()
        kept = f"; what was written is {self._file.keep(self.path)}" if self._file else ""
        return MediaError(f"{self.name} could not be completed: {reason}{kept}", setting="out")

    def discard(self) -> None:
        """Ends without a film; nothing is left behind."""
        with deferred():
            self._undoing.close()


def open_encoder(
    muxer: Muxer,
    path: Path,
    info: StreamInfo,
    encoding: Encoding,
    *,
    size: tuple[int, int] | None = None,
    gpu_device: int | None = None,
    threads: int | None = None,
) -> Encoder:
    """Adds the stream of painted pictures to a container, and opens its encoder.

    Args:
        muxer: of the film, or of a container of the same kind that is never written.
        path: of the film.
        info, encoding, size, gpu_device, threads: see `FileSink`.

    Raises:
        MediaError: the container or the encoder cannot be used.
    """
    name, device = encoder_name(path, encoding), None
    if gpu_device is not None:
        name, device = gpu_encoder_name(path, encoding), nvidia_device(gpu_device)
    stream = muxer.add_video(name, info.rate, device, setting="codec" if encoding.codec else "out")
    encoder = Encoder(
        stream,
        info,
        encoder_options(stream.codec_context, encoding),
        size=size,
        bit_depth=encoding.bit_depth,
        on_gpu=device is not None,
        b_frames=muxer.keeps_times,
        key_frame_every=muxer.key_frame_every,
        ends_with_key=muxer.is_mp4,
        threads=threads,
    )
    if path.suffix.lower() == ".ogv":  # Ogg counts frames; finer times make the first one late
        stream.time_base = 1 / info.rate
    return encoder


def container_of(path: Path) -> str | None:
    """FFmpeg's name of a film's format where its own guess would be another; None elsewhere."""
    return "mp4" if path.suffix.lower() in _BRANDS else None


def holds_segments(path: Path) -> bool:
    """Whether films of this kind can be joined from segments that were encoded one by one."""
    return path.suffix.lower() in _SEGMENTED and not is_numbered(path) and not is_special(path)


def _is_film(path: Path) -> bool:
    """Whether an unfinished file can be read: some formats do not need their end."""
    try:
        with av.open(ffmpeg_name(path), "r") as film:
            return next(film.decode(video=0), None) is not None
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return False
