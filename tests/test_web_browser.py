"""The web page in a real browser: Debian's Chromium, driven by Playwright, with a fake camera."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
import pytest
from conftest import make_film, scene_rgb
from PIL import Image

from realtime_style.painting.chain import build_painter

pytest.importorskip("aiohttp", reason="needs the extra web")
pytest.importorskip("aiortc", reason="needs the extra web")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip)")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)"),
]

SIZE, FRAMES, RATE = (640, 360), 90, 30
LONG_S = 60.0  # more than anything here takes; a test that waits so long fails
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
# Reads the numbers of frames of a video as they are shown, and its newest picture
_WATCH = """(id) => {
  const video = document.getElementById(id);
  const canvas = Object.assign(document.createElement("canvas"), {width: 64, height: 36});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  (window.seen ??= {})[id] = [];
  const look = () => {
    context.drawImage(video, 0, 0, 64, 36);
    const {data} = context.getImageData(0, 0, 64, 36);
    let number = 0;
    for (let k = 0; k < 8; k++) if (data[(64 + k * 8 + 4) * 4 + 1] > 128) number |= 1 << k;
    seen[id].push([performance.now(), number]);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}"""
_FOCUSED = """document.activeElement.id || document.activeElement.dataset.action
  || document.activeElement.name"""
_PICTURE = """(id) => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 640, height: 360});
  canvas.getContext("2d").drawImage(document.getElementById(id), 0, 0, 640, 360);
  return canvas.toDataURL("image/png").split(",")[1];
}"""


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera that pans over a scene; eight blocks along the top say each frame's number."""
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    width, height = SIZE
    scene = scene_rgb(2 * width, height)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{RATE}:1 Ip A1:1 C420mpeg2\n".encode())
        for i in range(FRAMES):
            left = round(width * abs(np.sin(i * np.pi / FRAMES)))
            rgb = scene[:, left : left + width].copy()
            for k in range(8):
                rgb[: height // 8, k * width // 8 : (k + 1) * width // 8] = 255 * (i >> k & 1)
            planes = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
            file.write(b"FRAME\n" + planes.to_ndarray().tobytes())
    return path


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server, started as a user starts it."""
    folder = tmp_path_factory.mktemp("web")
    words = ("web", "--port", "0", "--no-browser", "--folder", str(folder), "--style", "mondrian")
    server = subprocess.Popen(
        [sys.executable, "-m", "realtime_style", *words], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout
    yield server.stdout.readline().strip()
    server.terminate()
    assert server.wait(LONG_S) == 0


@pytest.fixture(scope="module")
def browser(camera: Path) -> Iterator[Any]:
    flags = [*_FLAGS, f"--use-file-for-fake-video-capture={camera}"]
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens pages; none may write an error to its console, but for one that is allowed."""
    contexts, errors = [], []

    def open_page(path: str = "", allowed: str = "-", **settings: Any) -> Any:
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                errors.append(message.text)
                if message.type == "error" and allowed not in message.text
                else None
            ),
        )
        page.goto(address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def until(holds: Callable[[], Any], what: str) -> Any:
    end_s = time.monotonic() + LONG_S
    while not (value := holds()):
        assert time.monotonic() < end_s, f"{what} did not come true"
        time.sleep(0.02)
    return value


def start(page: Any) -> None:
    page.click("#start-button")
    page.wait_for_selector("#stage[data-state=live]", timeout=LONG_S * 1000)


def set_slider(page: Any, name: str, value: float) -> None:
    page.locator(f"#{name}").fill(str(value))


def picture_of(page: Any, name: str) -> np.ndarray[Any, Any]:
    """What a video of the page shows, (360, 640, 3) uint8."""
    png = base64.b64decode(page.evaluate(_PICTURE, name))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def difference(page: Any) -> float:
    """How much the colours of the painted picture differ from the camera's, in codes."""
    one, other = (picture_of(page, name).astype(float) for name in ("camera", "painted"))
    return float(
        abs(one.mean((0, 1)) - other.mean((0, 1))).mean()
        + abs(one.std((0, 1)) - other.std((0, 1))).mean()
    )


def test_a_camera_is_painted_in_order_and_soon(opened: Callable[..., Any]) -> None:
    page = opened()
    set_slider(page, "strength", 0)  # so that the numbers stay readable
    start(page)
    until(lambda: difference(page) < 12, "a picture that is not painted")
    for name in ("camera", "painted"):
        page.evaluate(_WATCH, name)
    until(lambda: page.evaluate("seen.painted.length") > 150, "frames")
    shown, painted = page.evaluate("[seen.camera, seen.painted]")
    numbers = [number for _, number in painted]
    steps = [(b - a) % FRAMES for a, b in pairwise(numbers)]
    assert sum(step > FRAMES // 2 for step in steps) == 0, "frames came out of order"
    when = {}
    for at_ms, number in shown:
        when.setdefault(number, []).append(at_ms)
    delays = [
        min(at_ms - each for each in when[number] if each <= at_ms)
        for at_ms, number in painted
        if number in when and any(each <= at_ms for each in when[number])
    ]
    assert len(delays) > 100
    assert median(delays) < 1000 * FRAMES / RATE / 2
    figures = page.inner_text("#figures")
    assert re.search(r"\d+ fps · \d+ ms delay · \d+ dropped · camera 640.360", figures), figures


def test_the_style_is_the_one_that_was_chosen(opened: Callable[..., Any]) -> None:
    names = ("udnie", "the-scream")
    offline = {name: build_painter(name) for name in names}
    page = opened()
    start(page)

    def distances() -> dict[str, float]:
        """How far the painted picture is from the camera's, painted offline in each style."""
        seen = picture_of(page, "painted")[60:]
        rgb = picture_of(page, "camera")
        return {
            name: float(abs(painter.paint_rgb(rgb)[60:].mean((0, 1)) - seen.mean((0, 1))).mean())
            for name, painter in offline.items()
        }

    def is_nearest(name: str) -> bool:
        found = distances()
        return min(found, key=lambda each: found[each]) == name and found[name] < 8

    for name in names:
        page.locator(f"#styles input[value={name}]").check()
        until(lambda name=name: is_nearest(name), f"a picture painted in {name}")


def test_two_pages_do_not_know_each_other_and_a_third_is_told(opened: Callable[..., Any]) -> None:
    one, other = opened(), opened()
    for page in (one, other):
        start(page)
    set_slider(other, "strength", 0)
    until(lambda: difference(other) < 12, "the other's strength")
    assert difference(one) > 15
    assert one.input_value("#strength") == "1"
    third = opened(allowed="503")
    third.click("#start-button")
    third.wait_for_selector("#start-text.bad")
    assert "at most 2 cameras at once, and is busy" in third.inner_text("#start-text")
    one.close()
    until(lambda: difference(other) < 12, "the other page going on")


def test_a_reload_and_a_lost_connection_go_on(opened: Callable[..., Any]) -> None:
    page = opened()
    page.add_init_script(
        "const Real = RTCPeerConnection;"
        "window.RTCPeerConnection = class extends Real"
        "{constructor(...given) {super(...given); (window.peers ??= []).push(this)}}"
    )
    page.reload()
    start(page)
    set_slider(page, "strength", 0)
    until(lambda: difference(page) < 12, "the strength")
    page.evaluate("peers.at(-1).close()")  # as after a closed laptop: the channel is gone
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    until(lambda: page.evaluate("peers.length") == 2, "a new connection")
    until(lambda: difference(page) < 12, "the same strength again")
    page.reload()
    start(page)
    until(lambda: difference(page) < 12, "the strength after a reload")


def test_the_keyboard_reaches_everything(opened: Callable[..., Any]) -> None:
    page = opened()
    page.wait_for_selector("#styles label")
    page.locator("body").click(position={"x": 1, "y": 1})
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(_FOCUSED))
    assert {"tab-live", "help-open", "source", "start-button", "mirror", "sound", "full", "style",
            "strength", "stability", "blend", "colors", "fast", "copy-view"} <= reached  # fmt: skip
    page.keyboard.press("h")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.locator("#tab-live").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#films").is_visible()
    page.keyboard.press("ArrowLeft")
    start(page)
    page.keyboard.press("v")
    page.locator("#divider").focus()
    before = int(page.get_attribute("#divider", "aria-valuenow"))
    page.keyboard.press("ArrowRight")
    assert int(page.get_attribute("#divider", "aria-valuenow")) > before
    page.keyboard.press("2")
    assert page.locator("#styles input:checked").input_value() == "grande-jatte"
    page.keyboard.press("s")
    page.wait_for_selector("#captures a[download$='.png']", timeout=LONG_S * 1000)


def test_the_divider_is_dragged(opened: Callable[..., Any]) -> None:
    page = opened()
    start(page)
    page.click("[data-action=view]")
    box = page.locator("#stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle, steps=5)
    page.mouse.up()
    assert abs(int(page.get_attribute("#divider", "aria-valuenow")) - 25) <= 1


def test_a_film_goes_through_the_page(opened: Callable[..., Any], tmp_path: Path) -> None:
    film = make_film(tmp_path / "holiday.mp4", size=(320, 240), pts=range(20))
    page = opened()
    page.click("#tab-films")
    page.set_input_files("#file", film)
    page.wait_for_selector("#film-list label")
    loaded = "[...document.querySelectorAll('#film-styles img')].every(i => i.naturalWidth)"
    until(lambda: page.evaluate(loaded), "previews of all styles")
    page.locator("#film-styles input[value=udnie]").check()
    page.click("#film-paint")
    page.wait_for_selector("#paintings a[download]", timeout=LONG_S * 1000)
    with page.expect_download() as download:
        page.click("#paintings a[download]")
    assert download.value.suggested_filename == "holiday-udnie.mp4"
    with av.open(str(download.value.path())) as painted:
        assert sum(1 for _ in painted.decode(video=0)) == 20
    for name in ("list", "film"):
        page.click(f"{'#paintings' if name == 'list' else '#film-panel'} button:has-text('Delete')")


def test_a_picture_becomes_a_style_while_a_camera_is_painted(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    picture = tmp_path / "red roses.png"
    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    noise[..., 1:] //= 4
    Image.fromarray(noise).resize((640, 360)).save(picture)
    page = opened()
    start(page)
    page.set_input_files("#picture", picture)
    page.wait_for_selector("#styles input[value='red-roses']:checked", state="attached")
    until(lambda: picture_of(page, "painted")[60:, :, 0].mean() > 1.5 *
          picture_of(page, "painted")[60:, :, 2].mean(), "a red painting")  # fmt: skip
    page.click("#styles .away")
    page.wait_for_selector("#styles input[value='red-roses']", state="detached")


def test_obs_sees_the_painting_alone(opened: Callable[..., Any]) -> None:
    alone = opened("&view=clean")
    assert not alone.locator(".top").is_visible()
    page = opened()
    start(page)
    until(lambda: alone.evaluate("painted.videoWidth") > 0, "the painting")
    page.locator("#styles input[value=the-scream]").check()
    until(
        lambda: abs(picture_of(alone, "painted").mean() - picture_of(page, "painted").mean()) < 5,
        "the same picture",
    )
    page.close()


@pytest.mark.parametrize("width", [360, 1280, 3840])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits(width: int, scheme: str, opened: Callable[..., Any]) -> None:
    size = {"width": width, "height": round(width * (16 / 9 if width < 500 else 9 / 16))}
    page = opened(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page.wait_for_selector("#styles label")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input[type=checkbox]")]
        .map(e => e.closest("label") ?? e).filter(e => e.offsetParent)
        .filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"""
    )
    assert small == []
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, [role=slider]")]
        .filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
        .map(e => e.outerHTML)"""
    )
    assert unnamed == []


def axe_path() -> Path | None:
    """The script of axe-core, if AXE_CORE names it or npm has installed it here."""
    named = os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js")
    return Path(named) if Path(named).is_file() else None


@pytest.mark.skipif(axe_path() is None, reason="needs axe-core (npm install --no-save axe-core)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(scheme: str, opened: Callable[..., Any], tmp_path: Path) -> None:
    script = axe_path()
    assert script
    page = opened(color_scheme=scheme, reduced_motion="reduce")
    client = page.context.new_cdp_session(page)  # the page's own policy lets no script in
    client.send("Runtime.evaluate", {"expression": script.read_text(encoding="utf-8")})

    def serious() -> list[str]:
        found = page.evaluate("axe.run(document)")["violations"]
        return [
            f"{each['id']}: {node['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    page.wait_for_selector("#styles label")
    assert serious() == []
    start(page)
    page.click("[data-action=view]")
    assert serious() == []
    page.click("[data-action=stop]")
    page.click("#tab-films")
    picture = tmp_path / "scene.png"
    Image.fromarray(scene_rgb(160, 120)).save(picture)
    page.set_input_files("#file", picture)
    page.wait_for_selector("#film-panel:not([hidden])")
    assert serious() == []
    page.click("#film-remove")
