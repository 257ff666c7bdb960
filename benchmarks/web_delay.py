"""Delay of the web page: from the browser's picture of its camera to the painting beside it.

    python benchmarks/web_delay.py [--minutes 10] [--size 1280x720] [--tier fast] [--quick]

Starts the server and a headless Chromium whose camera is a film with numbered frames. Each minute
the numbers are read for eight seconds from both pictures on the page, as they are shown; the time
between the two is the delay that the user sees. Strength is 0, so that numbers stay readable;
painting takes as long as with any other.

Needs Playwright (pip) and Chromium (apt). Rows are written to benchmarks/results/web_delay.json and
.md; a size and tier measured again replaces the old rows.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
from record import USUAL_SHAPE, add_usual, in_one_line, keep, machine, rows_of, run, sized

from realtime_style.tools.demo import draw_scene

FRAMES, RATE, BITS = 150, 30, 8
READ_S, SETTLE_S = 8, 40  # looks are loaded ahead at first
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
_READ = """() => {
  window.shown = {camera: [], painted: []};
  window.reading = true;
  for (const id of ["camera", "painted"]) {
    const video = document.getElementById(id);
    const canvas = Object.assign(document.createElement("canvas"), {width: 64, height: 36});
    const context = canvas.getContext("2d", {willReadFrequently: true});
    const read = () => {
      const at = performance.now();
      context.drawImage(video, 0, 0, 64, 36);
      const {data} = context.getImageData(0, 0, 64, 4);
      let number = 0;
      for (let k = 0; k < 8; k++) if (data[(64 + k * 8 + 4) * 4 + 1] > 128) number |= 1 << k;
      shown[id].push([at, number]);
      if (reading) video.requestVideoFrameCallback(read);
    };
    video.requestVideoFrameCallback(read);
  }
}"""


def write_camera(path: Path, width: int, height: int) -> None:
    """A film of a moving scene, with each frame's number in blocks along the top."""
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{RATE}:1 Ip A1:1 C420mpeg2\n".encode())
        for i in range(FRAMES):
            rgb = draw_scene(i / RATE, width, height).copy()
            for k in range(BITS):
                rgb[: height // 8, k * width // BITS : (k + 1) * width // BITS] = 255 * (i >> k & 1)
            planes = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
            file.write(b"FRAME\n" + planes.to_ndarray().tobytes())


def delays_ms(shown: dict[str, list[tuple[float, int]]]) -> list[float]:
    """For each painted picture, how long after the camera's picture of its number it was shown."""
    delays = []
    for at_ms, number in shown["painted"]:
        before = [each for each, of in shown["camera"] if of == number and each <= at_ms]
        if before and at_ms - max(before) < 1000 * FRAMES / RATE / 2:
            delays.append(at_ms - max(before))
    return delays


def measure(address: str, pid: int, camera: Path, about: dict[str, Any], minutes: int) -> Any:
    """Yields one row a minute."""
    from playwright.sync_api import sync_playwright

    flags = [*_FLAGS, f"--use-file-for-fake-video-capture={camera}"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        page = chromium.new_page()
        page.goto(address)
        page.locator("#strength").fill("0")
        page.click("#start-button")
        page.wait_for_selector("#stage[data-state=live]", timeout=60_000)
        began_s = time.monotonic()
        for minute in range(minutes + 1):
            time.sleep(max(0.0, began_s + SETTLE_S + 60 * minute - time.monotonic()))
            page.evaluate(_READ)
            time.sleep(READ_S)
            shown = page.evaluate("(reading = false, shown)")
            delays = delays_ms(shown)
            first, last = shown["painted"][0][0], shown["painted"][-1][0]
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            yield about | {
                "minute": minute,
                "painted": page.inner_text("#figures").split("painted at ")[1].split(" ")[0],
                "fps": round(1000 * (len(shown["painted"]) - 1) / (last - first), 1),
                **{f"p{q}_ms": round(float(np.percentile(delays, q)), 1) for q in (50, 95, 99)},
                "server_mb": pages * 4096 // 1_000_000,
            }
        chromium.close()


def table(rows: list[dict[str, Any]], about: str) -> str:
    """The rows as Markdown."""
    lines = [
        "# Delay of the web page", "", about, "",
        "| camera | tier | painted at | minute | fps | half within | 95 % | 99 % | server |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        lines.append(
            f"| {row['camera']} | {row['tier']} | {row['painted']} | {row['minute']} "
            f"| {row['fps']} | {row['p50_ms']:.0f} ms | {row['p95_ms']:.0f} ms "
            f"| {row['p99_ms']:.0f} ms | {row['server_mb']} MB |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measures, prints and keeps the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=1, help="how long; default: 1")
    parser.add_argument("--size", type=sized, default=sized("720p"), help="the camera's size")
    parser.add_argument("--tier", default="standard", help="standard or fast")
    add_usual(parser)
    given = parser.parse_args()
    width, height = given.size.of(*(given.size.height * side for side in USUAL_SHAPE))
    about = {"camera": f"{width}x{height}", "tier": given.tier}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_camera(folder / "camera.y4m", width, height)
        words = ["web", "--port", "0", "--no-browser", "--folder", name, "--tier", given.tier]
        server = subprocess.Popen(
            [sys.executable, "-m", "realtime_style", *words], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout
        address = server.stdout.readline().strip()
        rows = []
        for row in measure(address, server.pid, folder / "camera.y4m", about, given.minutes):
            print(row, flush=True)
            rows.append(row)
        server.terminate()
        server.wait()
    if given.quick:
        return
    others = [
        row for row in rows_of("web_delay", given.out)
        if (row["camera"], row["tier"]) != (about["camera"], about["tier"])
    ]  # fmt: skip
    result = {"machine": machine(), "rows": others + rows}
    keep("web_delay", result, table(others + rows, in_one_line(machine())), folder=given.out)


if __name__ == "__main__":
    run(main)
