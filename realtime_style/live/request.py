"""What a live job is asked to open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from realtime_style.frame import Size
from realtime_style.live.devices import _address, _camera, _screen, _test_pattern
from realtime_style.live.inputs import DeviceSource, FilmPlayer, LiveSource


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """What to open: `--source` and what is asked of it.

    `source` is a camera (a number or a device), "screen", "test" (a moving pattern), an address
    (rtsp://, http://, ...), or a film. `size` and `rate` (a second) are asked of cameras and
    screens; None takes what they give. `loop` plays films again and again.
    """

    source: str = "0"
    size: Size | None = None
    rate: float | None = None
    loop: bool = False

    @property
    def is_camera(self) -> bool:
        """Whether it is a camera: people want to see themselves as in a mirror."""
        return self.source.isdigit() or self.source.startswith(("/dev/", "video="))

    @property
    def is_film(self) -> bool:
        """Whether it has an end of its own."""
        return not (self.is_camera or self.source in ("screen", "test") or "://" in self.source)

    def open(self) -> LiveSource:
        """Opens it; may wait for a device as long as that likes.

        Raises:
            MediaError: it is not there, taken, not permitted, or does not give what is asked.
        """
        if self.is_film:
            return FilmPlayer(Path(self.source), loop=self.loop)
        if self.source == "test":
            return _test_pattern(self.size, self.rate)
        if self.source == "screen":
            return _screen(self.size, self.rate)
        if self.is_camera:
            return _camera(self.source, self.size, self.rate)
        return DeviceSource(_address(self.source), self.source)
