"""The live job: paints the newest frame for a front end and outputs; late frames are dropped."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Hashable
from pathlib import Path

from realtime_style.channel import Channel
from realtime_style.errors import MediaError
from realtime_style.frame import StreamInfo
from realtime_style.live.captures import Captures, rate_of
from realtime_style.live.clock import now_us
from realtime_style.live.commands import COMMANDS, Command
from realtime_style.live.controls import LiveControls
from realtime_style.live.feed import Feed
from realtime_style.live.front_end import FrontEnd, LiveStatus, OpenFrontEnd, Shot
from realtime_style.live.messages import Messages, Trouble
from realtime_style.live.microphone import Microphone
from realtime_style.live.output import Output, OutputKind
from realtime_style.live.sound import SoundBus
from realtime_style.live.stage import LiveStage
from realtime_style.live.stats import LiveStats
from realtime_style.painting.plan import ORIGINAL

_ANSWER_S = 3.0  # how long a source may take to open before this is reported
_CHECK_S = 0.05  # pause between checks, while waiting for a source, whether the job was stopped
_FRAME_WAIT_S = 0.02  # how long to wait for a frame before polling the front end
_POLL_S, _BUSY_POLL_S = 0.005, 0.001  # how long to wait for commands, without and with a new shot
_JOIN_S = 1.5  # how long a thread may take to end before it is left behind

OpenOutputs = Callable[[StreamInfo], list[Output]]
"""Opens outputs for the frames of a stream; raises MediaError."""


class LiveJob:
    """Paints the frames of a feed until it ends, the user quits, or the duration is over.

    The source is read on one thread, painting runs on another, the front end on the caller's, and
    each output on its own. Between them only the newest frame waits, so a slow part gets fewer
    frames, but no late ones.

    Attributes:
        feed: reads the source.
        stage: paints.
        stats: counts and times of the run so far.
        left_behind: names of threads that did not end in time. If there are any, the process must
            end without waiting for them.
    """

    def __init__(
        self,
        feed: Feed,
        stage: LiveStage,
        *,
        open_front_end: OpenFrontEnd | None = None,
        open_outputs: OpenOutputs = lambda info: [],
        sounds: SoundBus | None = None,
        open_microphone: Callable[[], Microphone] | None = None,
        rate: float | None = None,
        duration_s: float = math.inf,
        folder: Path = Path(),
        allowed: Collection[type[Command]] = COMMANDS,
        on_message: Callable[[str], None] = lambda message: None,
    ) -> None:
        """Starts nothing yet.

        Args:
            feed: the feed, not started yet.
            stage: paints the frames.
            open_front_end: called once the source is open; None runs without a front end.
            open_outputs: called once the source is open.
            sounds: the sound of recordings that the user starts with a command.
            open_microphone: called once the source is open, before the outputs; None uses no
                microphone.
            rate: frames per second to paint in time, which decides the size; None takes the
                source's.
            duration_s: seconds to run once the source is open, and also the longest time to wait
                for the source.
            folder: where snapshots and recordings go that the user starts with a command.
            allowed: the commands that the front end may send; others are reported as not allowed.
            on_message: called on the thread of `run` with each message for the user.
        """
        self.feed = feed
        self.stage = stage
        self.stats = LiveStats()
        self.left_behind: list[str] = []
        self._open_front_end, self._open_outputs = open_front_end, open_outputs
        self._rate, self._duration_s = rate, duration_s
        self._messages = Messages(on_message)
        self._captures = Captures(folder, rate, self._messages, sounds)
        self._open_microphone = open_microphone
        self._microphone: Microphone | None = None
        self._controls = LiveControls(
            stage, self._captures, self._messages, lambda: self._info, self.stop, allowed
        )
        self._painted: Channel[Shot] = Channel(1, newest_only=True)
        self._stopping = threading.Event()
        self._end_s = math.inf  # when to end, on the monotonic clock
        self._paint_error: BaseException | None = None
        self._is_cancelled = False
        self._front_end: FrontEnd | None = None
        self._outputs: list[Output] = []

    def stop(self) -> None:
        """Ends the run; may be called from any thread."""
        self._stopping.set()

    def run(self, on_shot: Callable[[Shot], None] = lambda shot: None) -> LiveStats:
        """Runs to the end; everything is closed and complete on return.

        Threads that do not end in time, such as one that reads a broken camera, are listed in
        `left_behind`.

        Args:
            on_shot: called on this thread for each shot, after the front end and the outputs got
                it. Its original frame must not be kept.

        Raises:
            StyleError: the source cannot be opened, or painting failed.
            KeyboardInterrupt: on Ctrl-C, after everything was closed.
        """
        painting = threading.Thread(target=self._paint_all, name="paint", daemon=True)
        self.feed.start()
        self._end_s = time.monotonic() + self._duration_s
        try:
            if self._wait_for_source():
                self._open()
                self._end_s = time.monotonic() + self._duration_s
                painting.start()
                self._show_all(on_shot)
        finally:
            self._stopping.set()
            self._close(painting)
        if self._paint_error:
            raise self._paint_error
        return self.stats

    def report(self) -> dict[str, object]:
        """A summary of the run for JSON: sizes, style, engine, counts, latency and outputs."""
        shot, info = self._controls.shot, self.feed.info
        figures = self.stats.figures(time.monotonic())
        return {
            "source": self.feed.description,
            "camera_size": [info.width, info.height] if info else None,
            "painted_size": [shot.painted.width, shot.painted.height] if shot else None,
            "style": shot.style if shot else None,
            "look": str(shot.look) if shot else None,
            "engine": self.stage.engine,
            "frames": figures.frames,
            "dropped": figures.dropped,
            "fps": round(figures.fps, 2),
            "latency_ms": {
                "p50": round(figures.latency_p50_ms, 1),
                "p95": round(figures.latency_p95_ms, 1),
                "p99": round(figures.latency_p99_ms, 1),
            },
            "outputs": {output.name: output.frames for output in self._outputs},
            "failed": {output.name: output.trouble for output in self.failed},
            "times_source_was_lost": self.feed.lost,
        }

    @property
    def failed(self) -> list[Output]:
        """The outputs of `open_outputs` that broke, or that have not written a single frame."""
        return [o for o in self._outputs if o.failed or (o.trouble and not o.frames)]

    def has_reported(self, output: Output) -> bool:
        """Whether the trouble of an output was passed to `on_message`."""
        return self._messages.has_reported(output)

    @property
    def _info(self) -> StreamInfo:
        assert self.feed.info, "the source is not open"
        return self.feed.info

    def _wait_for_source(self) -> bool:
        """Waits until the source is open; False if the job was stopped before."""
        report_s = time.monotonic() + _ANSWER_S
        while not self.feed.wait_until_open(_CHECK_S):
            now_s = time.monotonic()
            if self._stopping.is_set():
                return False
            if now_s >= self._end_s:
                raise MediaError(f"the source has not answered within {self._duration_s:g} s")
            if now_s >= report_s:
                self._messages.report("the source does not answer yet; waiting for it")
                report_s = math.inf
        if self.feed.info is None:
            raise self.feed.error or MediaError("the source delivers no frames")
        return True

    def _open(self) -> None:
        info = self._info
        self.stage.prepare(info.color, float(1 / rate_of(info, self._rate)))
        if self._open_microphone:
            self._microphone = self._open_microphone()
            self._microphone.start()
        self._outputs = self._open_outputs(info)
        if self._open_front_end:
            self._front_end = self._open_front_end(info)

    def _paint_all(self) -> None:
        try:
            for frame in self.feed.frames:
                if not self._painted.put(self.stage(frame)):
                    return
        except BaseException as error:  # of any kind, because `run` raises it on its own thread
            if not self._is_cancelled:
                self._paint_error = error
        finally:
            self._painted.end()

    def _show_all(self, on_shot: Callable[[Shot], None]) -> None:
        while not self._stopping.is_set() and time.monotonic() < self._end_s:
            shot = self._painted.take(_FRAME_WAIT_S)
            if shot is None and self._painted.is_over:
                break
            is_new = shot is not None and self._pass_on(shot, on_shot)
            self._update_troubles()
            if self._front_end and not self._serve(self._front_end, is_new):
                break
        if self.feed.error:
            raise self.feed.error

    def _pass_on(self, shot: Shot, on_shot: Callable[[Shot], None]) -> bool:
        """Gives a shot to the front end, outputs and `on_shot`; False if the display is frozen."""
        previous = self._controls.shot
        is_new = self._controls.offer(shot)
        for output in self._all_outputs():
            output.put(shot.painted)
        if self._front_end and is_new:
            self._front_end.show(shot, self._status())
        latency_ms = (now_us() - int(shot.original.pts)) / 1000
        dropped = self.feed.frames.dropped + self._painted.dropped
        self.stats.add(latency_ms, time.monotonic(), dropped)
        on_shot(shot)
        replaced = previous if is_new else shot
        if replaced:
            replaced.original.release()
        return is_new

    def _serve(self, front_end: FrontEnd, is_new: bool) -> bool:
        """Carries out the front end's commands, and refreshes it; False once it is closed."""
        given = front_end.poll(_BUSY_POLL_S if is_new else _POLL_S)
        if given is None:
            return False
        for command in given:
            self._controls.apply(command)
        if self._controls.shot and not is_new:  # the status, or the window's size, may be new
            front_end.show(self._controls.shot, self._status())
        return True

    def _all_outputs(self) -> list[Output]:
        recording = self._captures.recording
        return [*self._outputs, recording] if recording else self._outputs

    def _status(self) -> LiveStatus:
        recordings = (
            output.name
            for output in self._all_outputs()
            if output.kind is OutputKind.RECORDING and not output.failed
        )
        stage, look = self.stage, self.stage.look
        only = look.blend[0][0] if len(look.blend) == 1 else None
        return LiveStatus(
            styles=stage.style_names,
            chosen=stage.chosen,
            look=str(look),
            engine=stage.engine,
            strength=look.strength,
            blended=stage.styles.index(only) if only in stage.styles else -1,
            share=sum(share for _, share in look.blend),
            keeps_colors=look.keep_colors,
            tier=look.tier,
            stability=stage.stability,
            only=stage.mask.only if stage.mask else "",
            background=stage.mask.background if stage.mask else ORIGINAL,
            is_frozen=self._controls.is_frozen,
            recordings=tuple(recordings),
            messages=self._messages.shown(),
            figures=self.stats.figures(time.monotonic()),
        )

    def _update_troubles(self) -> None:
        self._captures.update()
        troubles: dict[Hashable, Trouble] = {}
        if text := self.feed.trouble:
            troubles[self.feed] = Trouble(text, "the source works again")
        if self._microphone and self._microphone.trouble:
            troubles[self._microphone] = Trouble(self._microphone.trouble)
        if failure := self.stage.failure:
            troubles[failure] = Trouble(failure.text)
        for output in self._all_outputs():
            if output.trouble:
                troubles[output] = Trouble(output.trouble, f"{output.name} works again")
        self._messages.update(troubles)
        if not self._front_end and self._outputs and all(o.failed for o in self._outputs):
            self.stop()

    def _close(self, painting: threading.Thread) -> None:
        if self._front_end:
            self._front_end.close()
        self._painted.cut()
        if not self.feed.stop(_JOIN_S):
            self.left_behind.append("camera")
        if not self._end_painting(painting):
            self.left_behind.append("paint")
        for output in self._outputs:
            self._captures.complete(output)
        self._captures.close()
        if self._microphone and not self._microphone.stop(_JOIN_S):
            self.left_behind.append("microphone")
        self.left_behind += self._captures.unfinished
        if not self.stage.close(_JOIN_S):
            self.left_behind.append("looks")

    def _end_painting(self, painting: threading.Thread) -> bool:
        if painting.ident is None:
            return True
        painting.join(_JOIN_S)
        if painting.is_alive():
            self._is_cancelled = True
            self.stage.cancel()
            painting.join(_JOIN_S)
        return not painting.is_alive()
