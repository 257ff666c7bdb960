"""The page of examples/browser in Chromium, on a processor that imitates a GPU (SwiftShader)."""

from __future__ import annotations

import base64
import shutil
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import make_film, painted_by, scene_rgb
from numpy.typing import NDArray
from PIL import Image

from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.engine import Plane, Planes
from realtime_style.engines.opening import open_engine
from realtime_style.engines.webgpu.program import PlanesLayout
from realtime_style.media.scaling import frame_from_rgb
from realtime_style.style.bundled import bundled_styles, open_style
from realtime_style.style.look import Look

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan", "--use-vulkan=swiftshader", "--use-angle=swiftshader",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip
ROOT = Path(__file__).resolve().parents[1]
SIZE = (134, 88)
LIMIT_MS = 30_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)"),
]

OPEN = """async ([size, rgba]) => {
  const { Gpu, Painter, Styles } = await import("./painter.js");
  window.styles = await Styles.load(document.baseURI);
  window.gpu = await Gpu.start(styles);
  window.painter = await Painter.open(gpu, size);
  const picture = new OffscreenCanvas(...size);
  const pixels = Uint8ClampedArray.from(atob(rgba), (c) => c.charCodeAt(0));
  picture.getContext("2d").putImageData(new ImageData(pixels, ...size), 0, 0);
  window.picture = picture;
  return gpu.hasHalf;
}"""
PAINT = """async ([shares, strength]) => {
  painter.setWeights(await styles.weights(shares, strength));
  await painter.paint(picture);
  const coded = (bytes) => btoa(String.fromCharCode(...bytes));
  return [coded(await painter.bytes("planes")), coded(await painter.bytes("painted"))];
}"""
FLAT = """() => {
  window.textured = picture;
  window.picture = new OffscreenCanvas(picture.width, picture.height);
  const drawing = picture.getContext("2d");
  drawing.fillStyle = "#b0b8c0";
  drawing.fillRect(0, 0, picture.width, picture.height);
}"""
SMALL_CAMERA = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = () => open({ video: { width: 160, height: 120 } });
"""
# The first device is lost when the test says so
LOSE = """
window.started = 0;
const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...wishes) {
  const device = await request.apply(this, wishes);
  if (!window.started++) {
    const lost = new Promise((resolve) => { window.lose = resolve; });
    Object.defineProperty(device, "lost", { value: lost });
  }
  return device;
};
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    sys.path.insert(0, str(ROOT / "examples"))
    from browser_page import write_page

    folder = tmp_path_factory.mktemp("page")
    write_page(folder)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3e6
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page(browser: Any, address: str) -> Any:
    found = browser.new_page()
    found.set_default_timeout(LIMIT_MS)
    found.goto(address)
    if found.evaluate("async () => !navigator.gpu || !(await navigator.gpu.requestAdapter())"):
        pytest.skip("this Chromium finds no adapter for WebGPU")
    rgba = np.dstack((scene_rgb(*SIZE, 1.0), np.full(SIZE[::-1], 255, np.uint8)))
    found.evaluate(OPEN, [SIZE, base64.b64encode(rgba.tobytes()).decode()])
    return found


def planes_in(data: bytes, layout: PlanesLayout) -> Planes:
    """The planes of the picture, and of the canvas if it is there."""
    codes = np.frombuffer(data, np.uint8).copy()
    (width, height), (canvas_width, canvas_height) = layout.size, layout.canvas
    luma = codes[: 4 * layout.chroma_at].reshape(1, 1, height, -1)
    chroma = codes[4 * layout.chroma_at : 4 * layout.canvas_at].reshape(1, 2, height // 2, -1)
    rest = codes[4 * layout.canvas_at :]
    count = canvas_width * canvas_height
    has_canvas = len(rest) >= count
    return Planes(
        np.ascontiguousarray(luma[..., :width]),
        np.ascontiguousarray(chroma[..., : width // 2]),
        rest[:count].reshape(1, 1, canvas_height, canvas_width) if has_canvas else luma,
        rest[count : count * 3 // 2].reshape(1, 2, canvas_height // 2, -1)
        if has_canvas
        else chroma,
    )


LAYOUT = PlanesLayout(SIZE, (128, 88))


def painted_in(page: Any, shares: dict[str, float], strength: float = 1) -> tuple[Planes, Planes]:
    given, painted = (base64.b64decode(text) for text in page.evaluate(PAINT, [shares, strength]))
    return planes_in(given, LAYOUT), planes_in(painted, LAYOUT)


def apart(found: Planes, expected: tuple[Plane, Plane]) -> NDArray[np.int64]:
    pairs = zip((found.luma, found.chroma), expected, strict=True)
    return np.concatenate([(a.astype(np.int64) - b).reshape(-1) for a, b in pairs])


def test_planes_are_those_that_the_program_makes(page: Any) -> None:
    given, _ = painted_in(page, {"great-wave": 1})
    frame = frame_from_rgb(scene_rgb(*SIZE, 1.0), open_style("great-wave", "fast").color)
    assert np.abs(given.luma.astype(int) - frame.luma).max() <= 2
    assert np.abs(given.chroma.astype(int) - frame.chroma).mean() < 2
    assert given.canvas == (128, 88)
    assert abs(float(given.canvas_luma.mean()) - float(given.luma.mean())) < 1


def test_grain_lies_under_flat_areas(page: Any) -> None:
    page.evaluate(FLAT)
    grained, _ = painted_in(page, {"great-wave": 1})
    plain, _ = painted_in(page, {"great-wave": 1}, 0)  # grain is as strong as the style
    page.evaluate("window.picture = textured")
    added = grained.canvas_luma.astype(int) - plain.canvas_luma
    assert 0.1 < added.std() < 2
    assert np.abs(added).max() <= 6


def test_the_browser_paints_every_style_as_float32_does(page: Any) -> None:
    most = 2 if page.evaluate("gpu.hasHalf") else 1
    for name in bundled_styles("fast"):
        style = open_style(name, "fast")
        engine = open_engine(style.model_for(style.color), EngineChoice("openvino", "f32"))
        given, painted = painted_in(page, {name: 1})
        assert np.abs(apart(painted, painted_by(engine, given))).max() <= most
        assert painted.luma.std() > 5


@pytest.mark.parametrize("strength", [1.0, 0.4, 0.0])
def test_blends_and_strengths_are_those_of_the_program(page: Any, strength: float) -> None:
    look = Look("great-wave", {"mondrian": 0.25}, strength=strength, tier="fast")
    style = look.mixed()
    engine = open_engine(style.model_for(style.color), EngineChoice("openvino", "f32"))
    given, painted = painted_in(page, {"great-wave": 0.75, "mondrian": 0.25}, strength)
    differences = apart(painted, painted_by(engine, given))
    assert np.abs(differences).max() <= 3  # the program rounds blends to float16
    assert np.abs(differences).mean() < 0.1
    if not strength:
        assert np.abs(apart(painted, (given.luma, given.chroma))).max() <= 1


def test_where_float16_does_not_compile_float32_paints(page: Any) -> None:
    found = page.evaluate(
        """async () => {
          const { Gpu, Painter } = await import("./painter.js");
          const other = await Gpu.start(styles);
          if (other.hasHalf) return null;
          other.hasHalf = true;  // a lie: the device has not been asked for it
          const fallen = await Painter.open(other, painter.layout.size);
          fallen.setWeights(await styles.weights({ udnie: 1 }));
          await fallen.paint(picture);
          const mean = (bytes) => bytes.reduce((sum, code) => sum + code, 0) / bytes.length;
          return [other.hasHalf, mean(await fallen.bytes("painted"))];
        }"""
    )
    if found is None:
        pytest.skip("this adapter has float16")
    painted = painted_in(page, {"udnie": 1})[1]
    codes = np.concatenate([plane.reshape(-1) for plane in painted[:2]])
    assert found[0] is False
    assert abs(found[1] - codes.mean()) < 5  # rows end at whole words


def test_halves_are_rounded_as_numpy_does(page: Any) -> None:
    values = [0.0, 1.0, -2.5, 65504.0, 1e-7, 6e-8, 0.1, 3.14159, -1e-5, 2049.0, 2051.0, 0.99999]
    code = "async (v) => (await import('./painter.js')).halfOfFloat(v)"
    found = [page.evaluate(code, value) for value in values]
    assert found == np.array(values, np.float32).astype(np.float16).view(np.uint16).tolist()


def test_a_picture_and_a_film_are_painted_on_the_page(
    browser: Any, address: str, page: Any, tmp_path: Path
) -> None:
    Image.fromarray(scene_rgb(192, 128, 1.0)).save(tmp_path / "picture.png")
    film = make_film(tmp_path / "film.webm", codec="libvpx", sound=None, size=(96, 64))
    errors: list[str] = []
    seen = browser.new_page()
    seen.set_default_timeout(LIMIT_MS)
    seen.on("pageerror", lambda error: errors.append(str(error)))
    seen.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    seen.goto(address)
    seen.click("#styles button[data-name=great-wave]")
    seen.set_input_files("#file", tmp_path / "picture.png")
    seen.wait_for_selector("#canvas:not([hidden])")
    with seen.expect_download() as download:
        seen.click("#snapshot")
    found = np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)
    assert found.shape == (128, 192, 3)
    assert np.abs(found - scene_rgb(192, 128, 1.0)).mean() > 5
    assert found.std() > 10
    seen.set_input_files("#file", film)
    seen.wait_for_function("document.getElementById('rate').textContent.startsWith('96x64')")
    assert seen.inner_text("#said") == ""
    assert not errors
    seen.close()


def test_a_camera_is_painted_compared_and_recorded(
    browser: Any, address: str, page: Any, tmp_path: Path
) -> None:
    errors: list[str] = []
    seen = browser.new_page()
    seen.set_default_timeout(LIMIT_MS)
    seen.on("pageerror", lambda error: errors.append(str(error)))
    seen.goto(address)
    seen.add_script_tag(content=SMALL_CAMERA)
    seen.click("#styles button[data-name=udnie]")
    seen.click("#camera")
    seen.wait_for_function("document.getElementById('rate').textContent.includes(' ms')")
    seen.click("#split")
    seen.select_option("#other", "mondrian")
    seen.fill("#strength", "60")
    seen.click("#record")
    seen.wait_for_function("document.getElementById('record').ariaPressed === 'true'")
    painted = seen.text_content("#rate")
    seen.wait_for_function(f"document.getElementById('rate').textContent !== {painted!r}")
    with seen.expect_download() as download:
        seen.click("#record")
    film = tmp_path / download.value.suggested_filename
    download.value.save_as(film)
    assert film.stem == "udnie"
    with av.open(str(film)) as recorded:
        frames = [frame.to_ndarray(format="rgb24") for frame in recorded.decode(video=0)]
    assert len(frames) > 2
    assert frames[-1].shape[1] == 160
    assert frames[-1].std() > 10
    assert seen.inner_text("#said") == ""
    assert not errors
    seen.close()


def test_a_lost_gpu_is_started_again(browser: Any, address: str, page: Any, tmp_path: Path) -> None:
    Image.fromarray(scene_rgb(96, 64, 1.0)).save(tmp_path / "picture.png")
    seen = browser.new_page()
    seen.set_default_timeout(LIMIT_MS)
    seen.add_init_script(LOSE)
    seen.goto(address)
    seen.click("#styles button[data-name=udnie]")
    seen.set_input_files("#file", tmp_path / "picture.png")
    seen.wait_for_selector("#canvas:not([hidden])")
    seen.evaluate("lose({ reason: 'unknown', message: 'a fault' })")
    seen.wait_for_function("document.getElementById('said').textContent.includes('a fault')")
    seen.wait_for_function("document.getElementById('said').textContent === ''")
    assert seen.evaluate("started") == 2
    with seen.expect_download() as download:
        seen.click("#snapshot")
    assert np.asarray(Image.open(download.value.path())).std() > 10
    seen.close()


def test_a_browser_without_webgpu_says_what_to_do(browser: Any, address: str) -> None:
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(navigator, 'gpu', { value: undefined })")
    seen = context.new_page()
    seen.goto(address)
    seen.wait_for_function("document.getElementById('said').textContent.includes('no WebGPU')")
    assert seen.is_disabled("#open")
    context.close()
