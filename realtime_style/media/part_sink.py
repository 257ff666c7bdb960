"""One segment of a film as a sink of painted frames: an encoder whose packets go into a log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from realtime_style.errors import MediaError
from realtime_style.frame import Frame, StreamInfo
from realtime_style.media.encoding import Encoding
from realtime_style.media.film_sink import container_of, open_encoder
from realtime_style.media.muxer import Muxer
from realtime_style.media.packet_log import LogWriter, PacketLog


class PartSink:
    """Encodes one segment into a packet log, which appears only when it is complete.

    Attributes:
        log: the complete log; None until the context has been left without an error.
    """

    def __init__(
        self,
        path: Path,
        film: Path,
        info: StreamInfo,
        *,
        start_pts: int,
        size: tuple[int, int] | None,
        encoding: Encoding,
        threads: int,
        before_encoding: Callable[[Frame], None] = lambda frame: None,
        if_stopped: Path | None = None,
    ) -> None:
        """Opens the log for writing.

        Args:
            path: of the log.
            film: of the film that it becomes part of, which decides the container.
            info: the frames that will come.
            start_pts: when the segment begins; earlier frames are dropped.
            size, encoding, threads: see `FileSink`.
            before_encoding: called with each frame of the segment, which it may change.
            if_stopped: where the frames so far are logged after KeyboardInterrupt; None: nowhere.

        Raises:
            MediaError: the log cannot be written, or the encoder cannot be used.
        """
        self.log: PacketLog | None = None
        self._before_encoding = before_encoding
        self._path, self._start_pts, self._if_stopped = path, start_pts, if_stopped
        # a container of the film's kind decides how its encoder is set; it is never written
        never = path.with_name(f".{path.stem}{film.suffix}")
        self._muxer = Muxer(str(never), ending=film.suffix, container_format=container_of(film))
        try:
            self._encoder = open_encoder(
                self._muxer, film, info, encoding, size=size, threads=threads
            )
            self._writer = LogWriter(path)
        except OSError as error:
            self._muxer.discard()
            raise self._not_written(error) from error
        except BaseException:
            self._muxer.discard()
            raise

    @property
    def frames(self) -> int:
        """How many frames of the segment were given."""
        return self._encoder.frames

    def write(self, frame: Frame) -> None:
        """See `FrameSink.write`."""
        if frame.pts < self._start_pts:
            return
        self._before_encoding(frame)
        try:
            self._writer.add(self._encoder.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError | av.FFmpegError) -> MediaError:
        return MediaError(f"{self._path} cannot be written: {error.strerror}", setting="out")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            is_stopped = kind is not None and issubclass(kind, KeyboardInterrupt)
            if kind is None or (is_stopped and self._if_stopped and self._encoder.frames):
                for packets in self._encoder.flush():
                    self._writer.add(packets)
                self.log = self._writer.complete(
                    self._encoder.counts, self._if_stopped if is_stopped else None
                )
        except (av.FFmpegError, OSError) as failure:
            raise self._not_written(failure) from failure
        finally:
            self._writer.discard()
            self._muxer.discard()
