"""The built-in test clip: a sailing boat on the sea in front of hills, with a tune."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from realtime_style.color import ColorSpace
from realtime_style.frame import StreamInfo

WIDTH, HEIGHT, RATE = 848, 480, 24
_SAMPLE_RATE = 48_000
_HORIZON = 0.60  # y; all positions are fractions of the height
_SUN_X, _SUN_Y = 0.62, 0.22
_TUNE_HZ = (
    220.0,
    261.63,
    329.63,
    392.0,
    440.0,
    392.0,
    329.63,
    261.63,
)  # a minor seventh chord, up and down

_Plane = NDArray[np.float32]


def draw_scene(time_s: float, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """The picture at `time_s` seconds: (height, width, 3) RGB uint8."""
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, width / height, width, dtype=np.float32)[None]
    horizon = round(_HORIZON * height)
    picture = np.concatenate((_sky(x, y[:horizon], time_s), _sea(x, y[horizon:], time_s)))
    canvas = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
    _draw_boat(canvas, time_s)
    _draw_birds(canvas, time_s)
    return np.asarray(canvas)


def _sky(x: _Plane, y: _Plane, time_s: float) -> _Plane:
    sky = _mix(_rgb(0.16, 0.34, 0.72), _rgb(0.98, 0.80, 0.55), (y / _HORIZON) ** 1.6 + 0 * x)
    clouds = 0.6 * _noise(x * 3 + 0.08 * time_s, y * 6)
    clouds += 0.4 * _noise(x * 9 + 0.2 * time_s, y * 18)
    sky = _mix(sky, _rgb(1.0, 0.97, 0.92), 0.8 * _smooth(clouds, 0.5, 0.75))
    distance = np.hypot(x - _SUN_X, y - _SUN_Y)
    sky = _mix(sky, _rgb(1.0, 0.93, 0.6), 0.8 * np.exp(-((distance / 0.16) ** 2)))
    sky = _mix(sky, _rgb(1.0, 0.97, 0.75), 1 - _smooth(distance, 0.06, 0.066))
    top = int(0.6 * len(y))  # no hill reaches higher
    land, y = sky[top:], y[top:]
    for depth, tone in (
        (0.3, _rgb(0.42, 0.48, 0.62)),
        (0.6, _rgb(0.30, 0.42, 0.38)),
        (1.0, _rgb(0.16, 0.30, 0.18)),
    ):
        place = x * (1.2 + depth) + 0.05 * depth * time_s + 10 * depth
        ridge = _HORIZON - 0.03 - (1.1 - depth) * 0.2 * _noise(place * 1.5, np.full_like(x, depth))
        grain = 0.75 + 0.5 * _noise(place * 30, y * 40)
        land = _mix(land, tone * grain[..., None], _smooth(y - ridge, 0, 0.004))
    sky[top:] = land
    return sky


def _sea(x: _Plane, y: _Plane, time_s: float) -> _Plane:
    near = np.maximum(y - _HORIZON, 1e-3)
    waves = np.sin(14 * x / (near + 0.12) + 2.2 * time_s + 5 * _noise(x * 6, y * 40 - time_s))
    glitter = _noise(x * 25 + time_s, near * 260 / (near + 0.2) + 1.5 * time_s)
    light = np.clip(0.5 + 0.5 * waves * glitter, 0, 1)
    water = _mix(_rgb(0.05, 0.20, 0.36), _rgb(0.30, 0.56, 0.66), light)
    shine = np.exp(-(((x - _SUN_X) / 0.10) ** 2)) * _smooth(glitter, 0.45, 0.8)
    return _mix(water, _rgb(1.0, 0.92, 0.7), shine)


def demo_info() -> StreamInfo:
    """What is known about the frames of the clip."""
    rate = Fraction(RATE)
    return StreamInfo(WIDTH, HEIGHT, rate, 1 / rate, ColorSpace())


def write_demo_film(path: Path, duration_s: float) -> None:
    """Writes a clip of `duration_s` seconds: H.264 and AAC, 848x480 at 24 frames per second."""
    with av.open(str(path), "w") as film:
        picture = film.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "veryfast"})
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = film.add_stream("aac", rate=_SAMPLE_RATE, layout="stereo")
        for i in range(round(duration_s * RATE)):
            frame = av.VideoFrame.from_ndarray(draw_scene(i / RATE), "rgb24")
            frame.pts, frame.time_base = i, Fraction(1, RATE)
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        write_tune(film, sound, duration_s)


def write_tune(
    film: av.container.OutputContainer, sound: av.AudioStream, duration_s: float
) -> None:
    """Writes `duration_s` seconds of the tune into a stereo 48 kHz stream, and flushes it."""
    samples = _tune(duration_s)
    for begin in range(0, samples.shape[1], 1024):
        block = np.ascontiguousarray(samples[:, begin : begin + 1024])
        heard = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
        heard.sample_rate, heard.pts = _SAMPLE_RATE, begin
        heard.time_base = Fraction(1, _SAMPLE_RATE)
        film.mux(sound.encode(heard))
    film.mux(sound.encode(None))


def _tune(duration_s: float) -> NDArray[np.float32]:
    """Stereo samples, (2, count) float32 in -1..1: plucked notes that ring over the next ones."""
    heard = np.zeros((2, round(duration_s * _SAMPLE_RATE)), np.float32)
    note_s, ring_s = 0.375, 4.0
    for i in range(int(duration_s / note_s) + 1):
        pitch = _TUNE_HZ[i % len(_TUNE_HZ)]
        begin = round(i * note_s * _SAMPLE_RATE)
        whole = heard[:, begin : begin + round(ring_s * _SAMPLE_RATE)]
        since = np.arange(whole.shape[1]) / _SAMPLE_RATE
        pluck = np.exp(-3 * since) * (1 - np.exp(-200 * since))
        tone = pluck * (np.sin(2 * np.pi * pitch * since) + 0.3 * np.sin(4 * np.pi * pitch * since))
        side = 0.5 + 0.3 * np.sin(i)
        whole += 0.18 * tone * np.array([[1 - side], [side]])
    return heard


def _draw_boat(canvas: Image.Image, time_s: float) -> None:
    height = canvas.height
    draw = ImageDraw.Draw(canvas)
    x = (0.9 + 0.05 * time_s) * height
    y = (0.74 + 0.008 * np.sin(1.7 * time_s)) * height
    lean = 0.05 * np.sin(1.1 * time_s)

    def at(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x + height * (px - lean * py), y + height * (py + lean * px)) for px, py in points]

    draw.polygon(at((-0.14, -0.02), (0.15, -0.03), (0.10, 0.035), (-0.10, 0.035)), (120, 52, 30))
    draw.polygon(
        at((-0.14, -0.02), (0.15, -0.03), (0.147, -0.015), (-0.137, -0.005)), (225, 190, 120)
    )
    draw.line(at((0, -0.02), (0, -0.36)), (70, 40, 25), max(2, height // 150))
    draw.polygon(at((0.01, -0.35), (0.01, -0.05), (0.13, -0.06)), (245, 236, 214))
    draw.polygon(at((-0.01, -0.33), (-0.01, -0.05), (-0.10, -0.06)), (200, 64, 44))


def _draw_birds(canvas: Image.Image, time_s: float) -> None:
    height = canvas.height
    draw = ImageDraw.Draw(canvas)
    for i in range(5):
        x = (1.45 - 0.07 * time_s + 0.07 * i) * height
        y = (0.16 + 0.03 * (i % 3) + 0.01 * np.sin(time_s + i)) * height
        wing, flap = 0.018 * height, 0.012 * height * np.sin(7 * time_s + i)
        points = [(x - wing, y - flap), (x, y), (x + wing, y - flap)]
        draw.line(points, (40, 44, 60), max(2, height // 200))


def _noise(x: _Plane, y: _Plane) -> _Plane:
    """Value noise: smooth random values in 0..1, always the same for the same position."""
    x, y = np.broadcast_arrays(x, y)
    left, top = np.floor(x), np.floor(y)
    u, v = x - left, y - top
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    column, row = left.astype(np.int32), top.astype(np.int32)
    upper = _mix_planes(_hash(column, row), _hash(column + 1, row), u)
    lower = _mix_planes(_hash(column, row + 1), _hash(column + 1, row + 1), u)
    return _mix_planes(upper, lower, v)


def _hash(x: NDArray[np.int32], y: NDArray[np.int32]) -> _Plane:
    mixed = (x.view(np.uint32) * np.uint32(374761393)) ^ (y.view(np.uint32) * np.uint32(668265263))
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(1274126177)
    mixed ^= mixed >> np.uint32(16)
    value: _Plane = mixed.astype(np.float32) / np.float32(0xFFFFFFFF)
    return value


def _smooth(x: _Plane, low: float, high: float) -> _Plane:
    """Smoothstep: 0 below `low`, 1 above `high`, cubic between."""
    t: _Plane = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _rgb(red: float, green: float, blue: float) -> _Plane:
    return np.array((red, green, blue), np.float32)


def _mix(a: _Plane, b: _Plane, part: _Plane) -> _Plane:
    return a + (b - a) * part[..., None]


def _mix_planes(a: _Plane, b: _Plane, part: _Plane) -> _Plane:
    return a + (b - a) * part
