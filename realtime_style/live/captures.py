"""Snapshots and recordings that a user starts during a live job; existing files are kept."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from queue import SimpleQueue

from av.video.reformatter import VideoReformatter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from realtime_style.errors import StyleError
from realtime_style.frame import Frame, FramePool, StreamInfo
from realtime_style.live.destinations import recording
from realtime_style.live.front_end import Shot
from realtime_style.live.messages import Messages
from realtime_style.live.output import Output, OutputKind
from realtime_style.live.sound import SoundBus
from realtime_style.media.scaling import rgb_from_frame, scaled_frame
from realtime_style.system.paths import free_name, name_part
from realtime_style.system.whole_file import new_whole_file
from realtime_style.wording import counted

_COMPLETE_S = 5.0  # how long completing a file may take, before it is left behind
_MAX_RATE = Fraction(120)  # frames per second; some films claim thousands


class Captures:
    """Saves snapshots and records, on other threads than the caller's.

    Attributes:
        recording: the recording in progress; None if there is none.
        unfinished: names of files that were not complete in time; their threads are still running.
    """

    def __init__(
        self,
        folder: Path,
        fps: float | None,
        messages: Messages,
        sounds: SoundBus | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            folder: where all files go.
            fps: frames per second of recordings; None takes the source's.
            messages: receives what was saved, and what failed.
            sounds: the sound of recordings; None records none.
        """
        self._sounds = sounds
        self.recording: Output | None = None
        self.unfinished: list[str] = []
        self._folder, self._fps, self._messages = folder, fps, messages
        self._savers: list[threading.Thread] = []
        self._saved: SimpleQueue[str] = SimpleQueue()  # messages about snapshots

    def save_snapshot(self, shot: Shot) -> None:
        """Saves the painted frame as a PNG file, enlarged to the size of the camera's frame."""
        # On a thread: compressing a large picture takes as long as several frames
        args = (shot.painted, (shot.original.width, shot.original.height), shot.style)
        saver = threading.Thread(target=self._save, args=args, name="snapshot", daemon=True)
        self._savers = [thread for thread in self._savers if thread.is_alive()] + [saver]
        saver.start()

    def toggle_recording(self, info: StreamInfo) -> None:
        """Starts a recording for a source with this info, or completes the one in progress."""
        if self.recording:
            output, self.recording = self.recording, None
            self.complete(output)
            return
        path = free_name(self._folder / f"{_stamp()}.mp4")
        try:
            size, rate = (info.width, info.height), rate_of(info, self._fps)
            self.recording = recording(path, size, rate, sounds=self._sounds)
        except StyleError as error:
            self._messages.notify(str(error))
        else:
            self._messages.notify(f"recording to {path}")

    def update(self) -> None:
        """Reports saved snapshots, and ends the recording if it has failed; call it often."""
        while not self._saved.empty():
            self._messages.notify(self._saved.get())
        if self.recording and self.recording.failed:
            output, self.recording = self.recording, None
            output.close(0)
            self._messages.discard(output)
            self._messages.notify(f"recording stopped: {output.trouble}")

    def complete(self, output: Output) -> None:
        """Completes an output, and reports how many frames it has or what went wrong."""
        if not output.close(_COMPLETE_S):
            self.unfinished.append(output.name)
        elif not output.trouble:
            is_file = output.kind is OutputKind.RECORDING
            what = f"saved {output.target}" if is_file else output.name
            self._messages.notify(f"{what}: {counted(output.frames, 'frame')}")
        elif not self._messages.has_reported(output):
            self._messages.report_trouble(output, output.trouble)
        self._messages.discard(output)

    def close(self) -> None:
        """Completes everything in progress; what takes over 5 s is listed in `unfinished`."""
        if self.recording:
            output, self.recording = self.recording, None
            self.complete(output)
        end_s = time.monotonic() + _COMPLETE_S
        for saver in self._savers:
            saver.join(max(0.0, end_s - time.monotonic()))
        self.unfinished += [saver.name for saver in self._savers if saver.is_alive()]
        self.update()

    def _save(self, painted: Frame, size: tuple[int, int], style: str) -> None:
        if size != (painted.width, painted.height):
            painted = scaled_frame(painted, size, VideoReformatter(), FramePool())
        about = PngInfo()
        about.add_text("Software", "realtime-style")
        about.add_text("Style", style)
        path = self._folder / f"{_stamp()}-{name_part(style)}.png"
        try:
            with new_whole_file(path) as file:
                Image.fromarray(rgb_from_frame(painted)).save(file.partial, "PNG", pnginfo=about)
        except OSError as error:
            self._saved.put(f"{path} cannot be written: {error.strerror or error}")
        else:
            self._saved.put(f"saved {file.path}")


def rate_of(info: StreamInfo, fps: float | None) -> Fraction:
    """Frames per second to paint: `fps`; if it is None, the source's rate, but at most 120."""
    return Fraction(fps).limit_denominator(1001) if fps else min(info.rate, _MAX_RATE)


def _stamp() -> str:
    return f"realtime-style-{datetime.now():%Y%m%d-%H%M%S}"
