"""The live job: newest frame in, painted frame into a window and other outputs; nothing queues."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from av.video.reformatter import VideoReformatter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from realtime_style.channel import Channel
from realtime_style.errors import MediaError, StyleError
from realtime_style.frame import Frame, FramePool, Size, StreamInfo
from realtime_style.live.clock import now_us
from realtime_style.live.feed import Feed
from realtime_style.live.outputs import (
    Output,
    OutputKind,
    recording,
    refuse_recording,
    refuse_stream,
    stream,
    virtual_camera,
)
from realtime_style.live.painter import LivePainter, Shot
from realtime_style.live.request import LiveRequest
from realtime_style.live.stats import LiveStats
from realtime_style.live.view import Bgr, Mode, View
from realtime_style.live.window import Pointer, Window
from realtime_style.media.scaling import rgb_from_frame, scaled_frame
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.style_picture import is_picture
from realtime_style.style.bundled import TIERS, bundled_styles
from realtime_style.style.look import MAX_STRENGTH, Look
from realtime_style.system.paths import free_file, free_name, refuse_overwriting_source

_POLL_MS = 5
_NO_FRAME_S = 0.02  # how long to wait for a frame before looking at the window again
_JOIN_S = 1.5  # for a thread to end; one that does not is left behind
_COMPLETE_S = 5.0  # for an output to be completed
_STEP = 0.1  # of strength, and of a share
_FIRST_SHARE = 0.5  # of a style that is blended in
_SAY_S = 4.0  # how long a message stays
_MOST_RATE = Fraction(120)  # frames a second; some films say thousands
_LEAST_WINDOW_PX, _MOST_WINDOW_PX = 640, 1280  # its width at first
_OPEN_S = 3.0  # for a camera to answer, before it is said that it does not

HELP = """n, p: next, previous style
1 to 9: style by number
+, -: more, less of the style
b: blend with another style, and another
], [: more, less of that
c: keep the camera's colours
o: next picture to be painted like
t: the faster tier, the standard one
v: painted, split, side by side
drag: move the divider
m: mirror
f: full screen
space: freeze
s: snapshot
r: record, or stop recording
i: statistics
h: this help
q: quit"""


class LiveWindow(Protocol):
    """What the job needs of a window: see `window.Window`."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what it shows."""

    def show(self, bgr: Bgr) -> None:
        """Shows a picture."""

    def poll(self, wait_ms: int) -> tuple[list[str], list[Pointer]] | None:
        """Keys and pointers since the last time; None once it is closed."""

    def full_screen(self, on: bool) -> None:
        """Fills the screen, or is a window again."""

    def close(self) -> None:
        """Closes it."""


OpenOutputs = Callable[[StreamInfo], list[Output]]
OpenWindow = Callable[[StreamInfo], LiveWindow]


@dataclass
class LiveJob:
    """Paints a feed until it ends, or somebody ends it.

    The camera is read on one thread, painting is done on another, the window lives on the
    caller's, each output on its own. Between them only the newest frame waits: what is slow shows
    fewer frames, never later ones.

    Attributes:
        feed: not yet started.
        open_window: opens the window, once the frames' size is known; None runs without one.
        open_outputs: opens the outputs then.
        fps: frames a second to paint, by which the size is chosen; None: as many as come.
        duration_s: how long to run once the source has answered; as long it is waited for before.
        folder: where snapshots and recordings go.
        view: how shots are shown at first.
        on_shot: called for each shot on the caller's thread, after it was handed on.
        say: called with what there is to say to people.
    """

    feed: Feed
    painter: LivePainter
    open_window: OpenWindow | None = None
    open_outputs: OpenOutputs = lambda info: []
    fps: float | None = None
    duration_s: float = math.inf
    folder: Path = Path()
    view: View = field(default_factory=View)
    on_shot: Callable[[Shot], None] | None = None
    say: Callable[[str], None] = lambda message: None
    stats: LiveStats = field(default_factory=LiveStats)
    left_behind: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._painted: Channel[Shot] = Channel(1, newest_only=True)
        self._stopping = threading.Event()
        self._end_s = math.inf  # of the monotonic clock
        self._errors: list[BaseException] = []
        self._window: LiveWindow | None = None
        self._outputs: list[Output] = []
        self._recording: Output | None = None
        self._shot: Shot | None = None
        self._frozen = False
        self._is_full = False
        self._asked = max(0, self.painter.chosen)  # as a style, last; it may have failed
        self._shows_stats = False
        self._shows_help = False
        self._message, self._message_until_s = "", 0.0
        self._shown: tuple[object, ...] = ()
        self._savers: list[threading.Thread] = []
        self._troubles: dict[str, str] = {}
        self._keys: dict[str, Callable[[], None]] = {
            "q": self.stop,
            "escape": self._leave,
            "n": lambda: self._choose(self._asked + 1),
            "p": lambda: self._choose(self._asked - 1),
            "+": lambda: self._dose(_STEP),
            "=": lambda: self._dose(_STEP),  # where + needs Shift
            "-": lambda: self._dose(-_STEP),
            "b": self._next_blend,
            "]": lambda: self._blend_more(_STEP),
            "[": lambda: self._blend_more(-_STEP),
            "c": self._toggle_colors,
            "t": self._next_tier,
            "o": self._next_picture,
            "v": self._next_mode,
            "m": self._toggle_mirror,
            "f": self._toggle_full_screen,
            " ": self._toggle_frozen,
            "s": self._snapshot,
            "r": self._toggle_recording,
            "i": self._toggle_stats,
            "h": self._toggle_help,
        } | {str(i): self._chooser(i - 1) for i in range(1, 10)}

    def stop(self) -> None:
        """Ends the run; for any thread."""
        self._stopping.set()

    def run(self) -> LiveStats:
        """Runs to the end; everything is closed and complete on return.

        A thread that does not return, as one that reads a broken camera, is left behind, and named
        in `left_behind`: the process must then end without waiting for it.

        Raises:
            StyleError: the source cannot be opened, or painting failed.
            KeyboardInterrupt: passed on.
        """
        paint = threading.Thread(target=self._paint_all, name="paint", daemon=True)
        self.feed.start()
        self._end_s = time.monotonic() + self.duration_s
        try:
            self._wait_for_source()
            self._end_s = time.monotonic() + self.duration_s
            paint.start()
            self._show_all()
        finally:
            self._stopping.set()
            self._close(paint)
        if self._errors:
            raise self._errors[0]
        return self.stats

    def report(self) -> dict[str, object]:
        """What the run did, in plain values."""
        stats, shot, info = self.stats, self._shot, self.feed.info
        return {
            "source": self.feed.description,
            "camera_size": [info.width, info.height] if info else None,
            "painted_size": [shot.painted.width, shot.painted.height] if shot else None,
            "style": shot.style if shot else None,
            "look": str(shot.look) if shot else None,
            "engine": self.painter.engine,
            "frames": stats.frames,
            "dropped": stats.dropped,
            "fps": round(stats.fps(time.monotonic()), 2),
            "latency_ms": {f"p{p}": round(stats.latency_ms(p), 1) for p in (50, 95, 99)},
            "outputs": {output.name: output.frames for output in self._outputs},
            "failed": {output.name: output.trouble for output in self.failed},
            "times_source_was_lost": self.feed.lost,
        }

    @property
    def failed(self) -> list[Output]:
        """Outputs that were asked for at the start, and broke or never got a frame across."""
        return [o for o in self._outputs if o.failed or (o.trouble and not o.frames)]

    def _wait_for_source(self) -> None:
        said = False
        while not self.feed.wait_until_open(0.05 if said else _OPEN_S):
            if not said:
                self.say("the source does not answer yet; waiting for it")
                said = True
            if self._stopping.is_set():
                return
            if time.monotonic() >= self._end_s:
                raise MediaError(f"the source has not answered within {self.duration_s:g} s")
        if self.feed.info is None:
            raise self.feed.error or MediaError("the source gives no frames")
        self.painter.interval_s = float(1 / rate_of(self.feed.info, self.fps))
        self.painter.prepare(self.feed.info.color)
        self._outputs = self.open_outputs(self.feed.info)
        if self.open_window:
            self._window = self.open_window(self.feed.info)

    def _paint_all(self) -> None:
        try:
            for frame in self.feed.frames:
                if not self._painted.put(self.painter(frame)):
                    return
        except BaseException as error:  # the caller's thread raises it, whatever it is
            self._errors.append(error)
        finally:
            self._painted.end()

    def _show_all(self) -> None:
        while not self._stopping.is_set() and time.monotonic() < self._end_s:
            shot = self._painted.take(_NO_FRAME_S)
            if shot is not None:
                self._hand_on(shot)
            elif self._painted.is_over:
                break
            self._look_after_troubles()
            if self._window and not self._serve(self._window, shot is not None):
                break
        if self.feed.error:
            raise self.feed.error

    def _hand_on(self, shot: Shot) -> None:
        if not self._frozen or self._shot is None:
            self._shot = shot
        for output in self._all_outputs():
            output.put(shot.painted)
        if self._window and not self._frozen:
            self._show(self._window)
        latency_ms = (now_us() - int(shot.original.pts)) / 1000
        self.stats.shown(latency_ms, time.monotonic())
        self.stats.dropped = self.feed.frames.dropped + self._painted.dropped
        if self.on_shot:
            self.on_shot(shot)

    def _all_outputs(self) -> list[Output]:
        return [*self._outputs, self._recording] if self._recording else self._outputs

    # The window -----------------------------------------------------------------------------

    def _serve(self, window: LiveWindow, is_fresh: bool) -> bool:
        """Keys, mouse and what they change; False once the window is closed."""
        events = window.poll(1 if is_fresh else _POLL_MS)
        if events is None:
            return False
        keys, pointers = events
        for key in keys:
            action = self._keys.get(key.lower())
            if action:
                action()
        for pointer in pointers:
            if pointer.pressed and self.view.mode is Mode.SPLIT and self._shot:
                self.view.divider = self.view.divider_at(
                    pointer.x, self._shot.original, *window.size
                )
        # without new frames, the picture still answers to keys, sizes and messages
        if not is_fresh or self._frozen:
            self._show(window, only_if_changed=True)
        return True

    def _show(self, window: LiveWindow, *, only_if_changed: bool = False) -> None:
        if self._shot is None:
            return
        width, height = window.size
        texts = self._texts()
        view = self.view
        kind = (width, height, view.mode, view.divider, view.mirror, *texts.values())
        if only_if_changed and kind == self._shown:
            return
        self._shown = kind
        window.show(view.compose(self._shot.original, self._shot.painted, width, height, texts))

    def _texts(self) -> dict[str, str]:
        lines = []
        if self._frozen:
            lines.append("frozen")
        lines += [
            output.name
            for output in self._all_outputs()
            if output.kind is OutputKind.RECORDING and not output.failed
        ]
        if self._shows_stats:
            lines += self._stats_lines()
        if self._shows_help:
            lines.append(HELP)
        said = [*self._troubles.values()]
        if time.monotonic() < self._message_until_s:
            said.append(self._message)
        return {"top": "\n".join(lines), "bottom": "\n".join(said)}

    def _stats_lines(self) -> list[str]:
        assert self._shot
        stats, shot = self.stats, self._shot
        return [
            f"{shot.look}   {self.painter.engine}",
            f"{stats.fps(time.monotonic()):.0f} fps   latency "
            f"{stats.latency_ms(50):.0f} ms, 99 %: {stats.latency_ms(99):.0f} ms",
            f"camera {shot.original.width}x{shot.original.height}, painted at "
            f"{shot.painted.width}x{shot.painted.height}",
            f"dropped {stats.dropped} of {stats.frames + stats.dropped}",
        ]

    def _tell(self, message: str) -> None:
        self._message, self._message_until_s = message, time.monotonic() + _SAY_S
        self.say(message)

    def _look_after_troubles(self) -> None:
        """What is the matter with source, styles and outputs; said once, shown while it lasts."""
        found = {"source": self.feed.trouble, "style": self.painter.trouble}
        found |= {output.name: output.trouble for output in self._all_outputs()}
        if self._recording and self._recording.failed:
            self._recording.close(0)
            self._tell(f"recording stopped: {self._recording.trouble}")
            found.pop(self._recording.name)
            self._recording = None
        troubles = {name: text for name, text in found.items() if text}
        for name in troubles.keys() - self._troubles.keys():
            self.say(troubles[name])
        for name in self._troubles.keys() - troubles.keys():
            if name in found and name != "style":  # else it is gone, and so is its trouble
                self.say(f"{name}: all is well again")
        self._troubles = troubles
        if not self._window and self._outputs and all(o.failed for o in self._outputs):
            self.stop()

    # What keys do ---------------------------------------------------------------------------

    def _chooser(self, number: int) -> Callable[[], None]:
        return lambda: self._choose(number) if number < len(self.painter.styles) else None

    def _choose(self, number: int) -> None:
        self._asked = number % len(self.painter.named)
        self.painter.choose(number)
        self._tell_look()

    def _tell_look(self) -> None:
        later = ", once the picture is no longer frozen" if self._frozen else ""
        self._tell(self.painter.trouble or f"{self.painter.look}{later}")

    def _change(self, look: Look) -> None:
        self.painter.look = look
        self._tell_look()

    def _dose(self, step: float) -> None:
        look = self.painter.look
        strength = min(MAX_STRENGTH, max(0.0, round(look.strength + step, 1)))
        self._change(replace(look, strength=strength))

    def _next_blend(self) -> None:
        """The next of the styles takes the place of the blended one; after the last, none does."""
        painter = self.painter
        look, names = painter.look, painter.named
        share = sum(each for _, each in look.blend) or _FIRST_SHARE
        at = next((names.index(name) for name, _ in look.blend if name in names), -1) + 1
        if at < len(names) and names[at] == look.style:
            at += 1
        self._change(replace(look, blend=((names[at], share),) if at < len(names) else ()))

    def _blend_more(self, step: float) -> None:
        look = self.painter.look
        if not look.blend:
            self._next_blend()
            return
        whole = sum(each for _, each in look.blend)
        share = min(1.0, max(0.0, round(whole + step, 1)))
        shares = tuple((name, share * each / whole) for name, each in look.blend) if share else ()
        self._change(replace(look, blend=shares))

    def _next_picture(self) -> None:
        pictures = [i for i, name in enumerate(self.painter.named) if is_picture(name)]
        if not pictures:
            self._tell("there are no pictures to be painted like; give --style-images FOLDER")
            return
        self._choose(next((i for i in pictures if i > self._asked), pictures[0]))

    def _toggle_colors(self) -> None:
        look = self.painter.look
        self._change(replace(look, keep_colors=not look.keep_colors))

    def _next_tier(self) -> None:
        look = self.painter.look
        tiers = list(TIERS)
        self._change(replace(look, tier=tiers[(tiers.index(look.tier) + 1) % len(tiers)]))

    def _next_mode(self) -> None:
        modes = list(Mode)
        self.view.mode = modes[(modes.index(self.view.mode) + 1) % len(modes)]

    def _toggle_mirror(self) -> None:
        self.view.mirror = not self.view.mirror

    def _toggle_full_screen(self) -> None:
        self._is_full = not self._is_full
        if self._window:
            self._window.full_screen(self._is_full)

    def _leave(self) -> None:
        if self._is_full:
            self._toggle_full_screen()
        else:
            self.stop()

    def _toggle_frozen(self) -> None:
        self._frozen = not self._frozen

    def _toggle_stats(self) -> None:
        self._shows_stats = not self._shows_stats

    def _toggle_help(self) -> None:
        self._shows_help = not self._shows_help

    def _snapshot(self) -> None:
        # On a thread: packing a large picture takes as long as some frames do
        if self._shot is not None:
            saver = threading.Thread(target=self._save, args=(self._shot,), name="snapshot")
            self._savers.append(saver)
            saver.start()

    def _save(self, shot: Shot) -> None:
        about = PngInfo()
        about.add_text("Software", "realtime-style")
        about.add_text("Style", shot.style)
        path = self.folder / f"{_stamp()}-{shot.style}.png"
        try:
            with free_file(path) as file:
                Image.fromarray(rgb_from_frame(_as_large(shot))).save(file, "PNG", pnginfo=about)
                path = Path(file.name)
        except OSError as error:
            self._tell(f"{path} cannot be written: {error.strerror or error}")
        else:
            self._tell(f"snapshot {path}")

    def _toggle_recording(self) -> None:
        if self._recording:
            self._finish(self._recording)
            self._recording = None
            return
        assert self.feed.info
        path = free_name(self.folder / f"{_stamp()}.mp4")
        info = self.feed.info
        try:
            self._recording = recording(path, (info.width, info.height), rate_of(info, self.fps))
        except StyleError as error:
            self._tell(str(error))
        else:
            self._tell(f"recording to {path}")

    # The end --------------------------------------------------------------------------------

    def _finish(self, output: Output) -> None:
        if not output.close(_COMPLETE_S):
            self.left_behind.append(output.name)
        elif output.trouble:
            if output.name not in self._troubles:  # else said already
                self.say(output.trouble)
        else:
            self._tell(f"{output.name}: {output.frames} frames")

    def _close(self, paint: threading.Thread) -> None:
        if self._window:
            self._window.close()
        self._painted.cut()
        if not self.feed.stop(_JOIN_S):
            self.left_behind.append("camera")
        if paint.ident is not None:
            paint.join(_JOIN_S)
            if paint.is_alive():
                self.left_behind.append("paint")
        for output in self._all_outputs():
            self._finish(output)
        for saver in self._savers:
            saver.join()
        if "paint" not in self.left_behind:
            self.painter.close()


def _pictures_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "is not there"
        raise MediaError(f"{folder} {what}; --style-images takes a folder of pictures")
    inside = folder.iterdir()
    found = sorted(str(path) for path in inside if is_picture(path))
    if not found:
        raise MediaError(f"{folder} has no pictures; --style-images takes a folder of them")
    return found


def _as_large(shot: Shot) -> Frame:
    """The painting, as large as the camera's picture."""
    size = (shot.original.width, shot.original.height)
    if size == (shot.painted.width, shot.painted.height):
        return shot.painted
    return scaled_frame(shot.painted, size, VideoReformatter(), FramePool())


def _stamp() -> str:
    return f"realtime-style-{datetime.now():%Y%m%d-%H%M%S}"


def rate_of(info: StreamInfo, asked: float | None) -> Fraction:
    """Frames a second to paint: what is asked, else the source's own, within reason."""
    return Fraction(asked).limit_denominator(1001) if asked else min(info.rate, _MOST_RATE)


def live_job(
    request: LiveRequest,
    plan: PaintPlan = PaintPlan(),
    *,
    style_images: Path | None = None,
    size: Size | None = None,
    fps: float | None = None,
    duration_s: float = math.inf,
    window: bool = True,
    record: Path | None = None,
    streams: Sequence[str] = (),
    to_virtual_camera: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> LiveJob:
    """A job for a source and all that is asked of it.

    Args:
        plan: the look to begin with (all bundled styles can be chosen), engine and stability.
        style_images: a folder of pictures to be painted like, which can be chosen too.
        size: at which to paint; None: as large as can be kept up with.
        fps: frames a second to keep up with; None: the source's.
        duration_s: as of `LiveJob`.

    Raises:
        MediaError: there would be nothing to see, or `record` cannot be written.
    """
    if not (window or record or streams or to_virtual_camera):
        raise MediaError(
            "without a window nothing is to be seen; give --record, --stream or --virtual-camera"
        )
    if record:
        refuse_overwriting_source(request.source, record)
        refuse_recording(record, overwrite=overwrite)
    for address in streams:
        refuse_stream(address)
    styles = list(bundled_styles())
    styles += _pictures_in(style_images) if style_images else []
    if plan.look.style not in styles:
        styles.insert(0, str(plan.look.style))

    def open_outputs(info: StreamInfo) -> list[Output]:
        frame_size, rate = (info.width, info.height), rate_of(info, fps)
        outputs = [stream(address, frame_size, rate) for address in streams]
        if record:
            outputs.append(recording(record, frame_size, rate, overwrite=overwrite))
        if to_virtual_camera:
            outputs.append(virtual_camera(frame_size, float(rate)))
        return outputs

    def open_window(info: StreamInfo) -> LiveWindow:
        scale = min(max(1.0, _LEAST_WINDOW_PX / info.width), _MOST_WINDOW_PX / info.width)
        return Window("realtime-style", round(info.width * scale), round(info.height * scale))

    return LiveJob(
        Feed(request.open, has_end=request.is_film and not request.loop),
        LivePainter(styles, plan=plan, size=size),
        open_window if window else None,
        open_outputs,
        fps=fps,
        duration_s=duration_s,
        view=View(mirror=request.is_camera),
        say=say,
    )
