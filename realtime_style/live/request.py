"""A live job as a value, and how it is opened."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from realtime_style.errors import MediaError
from realtime_style.frame import Size, StreamInfo
from realtime_style.live.captures import rate_of
from realtime_style.live.commands import COMMANDS, WRITE_COMMANDS, Command
from realtime_style.live.destinations import (
    recording,
    refuse_recording,
    refuse_stream,
    stream,
    virtual_camera,
)
from realtime_style.live.devices import (
    open_address,
    open_camera,
    open_screen,
    open_test_pattern,
)
from realtime_style.live.feed import Feed
from realtime_style.live.front_end import FrontEnd, OpenFrontEnd
from realtime_style.live.inputs import FilmPlayer, LiveSource, OpenSource
from realtime_style.live.microphone import Microphone
from realtime_style.live.opencv_window import Window
from realtime_style.live.output import Output
from realtime_style.live.session import LiveJob
from realtime_style.live.sound import SoundBus
from realtime_style.live.stage import MIN_SIZE, LiveStage
from realtime_style.live.window_front_end import WindowFrontEnd
from realtime_style.painting.plan import PaintPlan
from realtime_style.painting.style_picture import STYLE_PICTURE_SUFFIXES, is_picture
from realtime_style.style.bundled import bundled_styles
from realtime_style.system.paths import is_address, refuse_overwriting_source, visible_files

_MIN_WINDOW_PX, _MAX_WINDOW_PX = 640, 1280  # range of the window's first width


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """The settings of a live job.

    Attributes:
        source: a camera (its number, or a device such as /dev/video0), "screen", "test" (a moving
            pattern), an address (rtsp://..., http://...), or a film.
        plan: how to paint. Its look is the first one; the user can choose others.
        camera_size, camera_rate: the mode to request from a camera or the screen, in pixels and
            frames per second; None uses the device's default.
        loop: whether a film starts again when it ends.
        style_images: a folder of pictures, whose styles the user can choose too; None for none.
        size: the size to paint at; None chooses the largest that can be painted in time.
        min_size: the smallest size to choose, by its shorter side. If that is too slow as well,
            frames are dropped.
        rate: frames per second to paint in time; None takes the source's.
        duration_s: seconds to run, counted from when the source is open; infinite by default.
        window: whether there is a front end: a window, or the one that `live_job` is given.
        record: a film file to record to, .mp4, .mov or .mkv; None records nothing.
        streams: addresses to stream to.
        microphone: the sound of recordings and streams: "default", FFmpeg's name of a device,
            "test" (a tone) or a file. None takes the sound of a film; other sources are then
            silent.
        virtual_camera: whether to appear as a camera to other programs.
        overwrite: whether `record` may replace an existing file.

    Raises:
        MediaError: a value is out of its range, or there is no output at all.
    """

    source: str = "0"
    plan: PaintPlan = field(default_factory=PaintPlan)
    camera_size: Size | None = None
    camera_rate: float | None = None
    loop: bool = False
    style_images: Path | None = None
    size: Size | None = None
    min_size: Size = MIN_SIZE
    rate: float | None = None
    duration_s: float = math.inf
    window: bool = True
    record: Path | None = None
    streams: tuple[str, ...] = ()
    microphone: str | None = None
    virtual_camera: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "streams", tuple(self.streams))
        for setting in ("camera_rate", "rate"):
            value = getattr(self, setting)
            if value is not None and not 0 < value < math.inf:
                raise MediaError(
                    f"the rate must be positive and finite, not {value:g}", setting=setting
                )
        if not self.duration_s > 0:
            raise MediaError(
                f"the duration must be positive, not {self.duration_s:g} s", setting="duration_s"
            )
        if not (self.window or self.record or self.streams or self.virtual_camera):
            raise MediaError(
                "nothing to output: there is no window, recording, stream or virtual camera",
                setting="window",
            )

    @property
    def is_camera(self) -> bool:
        """Whether the source is a camera; its pictures are mirrored in the window at first."""
        is_device = self.source.startswith(("/dev/", "video="))
        return self.source.isdigit() or (is_device and not Path(self.source).is_file())

    @property
    def is_film(self) -> bool:
        """Whether the source is a film file, rather than a device or an address."""
        return not (self.is_camera or self.source in ("screen", "test") or is_address(self.source))

    def open_source(self, sounds: SoundBus | None = None) -> LiveSource:
        """Opens the source, which may take seconds.

        Args:
            sounds: receives the sound of a film; None, and other sources, leave it out.

        Raises:
            MediaError: the source is missing, in use or not allowed, or a camera does not offer
                the requested mode.
        """
        if self.is_film:
            return FilmPlayer(Path(self.source), loop=self.loop, sounds=sounds)
        if self.source == "test":
            return open_test_pattern(self.camera_size, self.camera_rate)
        if self.source == "screen":
            return open_screen(self.camera_size, self.camera_rate)
        if self.is_camera:
            return open_camera(self.source, self.camera_size, self.camera_rate)
        return open_address(self.source)


def live_job(
    request: LiveRequest,
    on_message: Callable[[str], None] = lambda message: None,
    *,
    open_source: OpenSource | None = None,
    has_end: bool = False,
    sounds: SoundBus | None = None,
    open_front_end: OpenFrontEnd | None = None,
    folder: Path = Path(),
    allowed: Collection[type[Command]] | None = None,
) -> LiveJob:
    """Prepares the job of a request; sources, outputs and the front end open when it runs.

    Args:
        request: the settings of the job.
        on_message: called with each message for the user, on the thread that runs the job.
        open_source: opens another source than `request.source`; None opens that one.
        has_end: only for `open_source`: whether the job ends when that source has no more frames;
            otherwise the source is opened again.
        sounds: only for `open_source`: the sound of that source; None records its pictures only.
        open_front_end: opens another front end than the window; used only if `request.window`.
        folder: where snapshots and recordings go that the user starts with a command.
        allowed: the commands that the front end may send. None allows the window all commands, and
            another front end, such as a web page, only those that write no files.

    Raises:
        MediaError: `record`, `streams` or `style_images` cannot be used.
    """
    if request.record:
        refuse_overwriting_source(request.source, request.record)
        refuse_recording(request.record, overwrite=request.overwrite)
    for address in request.streams:
        refuse_stream(address)
    sounds, microphone = sounds or SoundBus(), request.microphone
    if open_source is None:
        of_film = None if microphone else sounds

        def open_source() -> LiveSource:
            return request.open_source(of_film)

        has_end = request.is_film and not request.loop
    if allowed is None:
        allowed = COMMANDS - WRITE_COMMANDS if open_front_end else COMMANDS
    if not request.window:
        open_front_end = None
    elif open_front_end is None:
        open_front_end = _window_opener(request)
    return LiveJob(
        Feed(open_source, has_end=has_end),
        LiveStage(_styles(request), request.plan, size=request.size, min_size=request.min_size),
        open_front_end=open_front_end,
        open_outputs=lambda info: _open_outputs(request, info, sounds),
        sounds=sounds,
        open_microphone=(lambda: Microphone(microphone, sounds)) if microphone else None,
        rate=request.rate,
        duration_s=request.duration_s,
        folder=folder,
        allowed=allowed,
        on_message=on_message,
    )


def _styles(request: LiveRequest) -> list[str]:
    """All styles to choose from: the request's own if it is not among these, bundled, pictures."""
    styles = list(bundled_styles())
    if request.style_images:
        styles += _pictures_in(request.style_images)
    first = request.plan.look.style
    return styles if first in styles else [str(first), *styles]


def _pictures_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise MediaError(f"the folder of style pictures {folder} {problem}", setting="style_images")
    pictures = [str(path) for path in visible_files(folder) if is_picture(path)]
    if not pictures:
        raise MediaError(
            f"the folder {folder} has no pictures ({', '.join(sorted(STYLE_PICTURE_SUFFIXES))}); "
            "subfolders are not searched",
            setting="style_images",
        )
    return pictures


def _window_opener(request: LiveRequest) -> Callable[[StreamInfo], FrontEnd]:
    def open_window(info: StreamInfo) -> WindowFrontEnd:
        width = min(max(info.width, _MIN_WINDOW_PX), _MAX_WINDOW_PX)
        window = Window("realtime-style", width, round(info.height * width / info.width))
        return WindowFrontEnd(window, mirror=request.is_camera)

    return open_window


def _open_outputs(request: LiveRequest, info: StreamInfo, sounds: SoundBus) -> list[Output]:
    size, rate = (info.width, info.height), rate_of(info, request.rate)
    outputs = [stream(address, size, rate, sounds=sounds) for address in request.streams]
    if request.record:
        outputs.append(
            recording(request.record, size, rate, overwrite=request.overwrite, sounds=sounds)
        )
    if request.virtual_camera:
        outputs.append(virtual_camera(size, float(rate)))
    return outputs
