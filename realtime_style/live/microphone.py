"""A microphone, or another source of sound, for recordings and streams."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av

from realtime_style.errors import MediaError
from realtime_style.live.clock import now_us
from realtime_style.live.sound import RATE_HZ, Resampler, Sound, SoundBus

_JUMP_US = 200_000  # if sound comes later or earlier than expected by more, the device has paused
_AHEAD_S = 0.5  # a file that falls further behind does not try to catch up
_ALSA = Path("/usr/share/alsa")  # PyAV's own library of ALSA looks elsewhere
_ALSA_HANDLER = ctypes.CFUNCTYPE(  # file, line, function, error, text; what follows is ignored
    None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p
)
_say_nothing = _ALSA_HANDLER(lambda *_: None)


class Microphone:
    """Reads a sound device on its own thread, and puts its sound on a bus.

    Attributes:
        name: the device, as it was given.
        trouble: what is wrong with the device now, as a sentence; "" if it works.
    """

    def __init__(self, device: str, bus: SoundBus) -> None:
        """Opens the device.

        Args:
            device: "default", FFmpeg's name of a device, "test" (a tone) or a file that is played.
            bus: receives the sound.

        Raises:
            MediaError: the device cannot be opened, or has no sound.
        """
        self.name, self.trouble = device, ""
        self._bus = bus
        self._container, self._is_paced = _open(device)
        if not self._container.streams.audio:
            self._container.close()
            raise MediaError(
                f"{device} has no sound; give a microphone, or a file that has sound",
                setting="microphone",
            )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="microphone", daemon=True)
        bus.is_open = True

    def start(self) -> None:
        """Starts to read the device."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Stops reading. Returns False if the thread has not ended within `timeout_s` seconds."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._container.close()
        return True

    def _run(self) -> None:
        resampler, next_us = Resampler(), None
        try:
            for frame in self._frames():
                samples = resampler(frame)
                began_us = now_us() - samples.shape[1] * 1_000_000 // RATE_HZ
                if next_us is None or abs(began_us - next_us) > _JUMP_US:
                    next_us = began_us
                sound = Sound(samples, next_us)
                self._bus.put(sound)
                next_us += sound.duration_us
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self.trouble = f"the microphone {self.name} stopped: {reason}; silence is recorded"

    def _frames(self) -> Iterator[av.AudioFrame]:
        due_s = time.monotonic()
        for frame in self._container.decode(audio=0):
            if self._is_paced:
                due_s = max(due_s, time.monotonic() - _AHEAD_S) + frame.samples / frame.sample_rate
                self._stopping.wait(max(0.0, due_s - time.monotonic()))
            if self._stopping.is_set():
                return
            yield frame


def _open(device: str) -> tuple[av.container.InputContainer, bool]:
    """Opens a device; also returns whether its sound can be read faster than in real time.

    Raises:
        MediaError: the device cannot be opened.
    """
    try:
        if device == "test":
            return av.open(f"sine=frequency=440:sample_rate={RATE_HZ}", format="lavfi"), True
        if Path(device).is_file():
            return av.open(device), True
        if sys.platform == "darwin":
            return av.open(f":{device}", format="avfoundation"), False
        if sys.platform == "win32":
            return av.open(f"audio={_first_of_windows(device)}", format="dshow"), False
        if (_ALSA / "alsa.conf").is_file():
            os.environ.setdefault("ALSA_CONFIG_DIR", str(_ALSA))
            os.environ.setdefault("ALSA_CONFIG_PATH", str(_ALSA / "alsa.conf"))
        _silence_alsa()
        return av.open(device, format="alsa"), False
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(
            f"the microphone {device} cannot be opened: {reason}; on Linux `arecord -L` lists the "
            "names, and 'default' is the usual one",
            setting="microphone",
        ) from error


def _silence_alsa() -> None:
    """Lets ALSA print nothing: it writes to standard error, past Python, what is raised anyway."""
    with contextlib.suppress(OSError, AttributeError):  # another system, or another library
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
        for path in {line.split(maxsplit=5)[5] for line in lines.splitlines() if "asound" in line}:
            ctypes.CDLL(path).snd_lib_error_set_handler(_say_nothing)


def _first_of_windows(device: str) -> str:
    """The name of a device for FFmpeg on Windows, where "default" means the first one.

    Raises:
        ValueError: no microphone is connected.
    """
    if device != "default":
        return device
    found = av.enumerate_input_devices("dshow")
    names = [each.description for each in found if "audio" in (each.media_types or ())]
    if not names:
        raise ValueError("no microphone is connected")
    return str(names[0])
