"""Memory, threads and open files of the web page's server as browsers connect and vanish.

    python benchmarks/web_drops.py [--times 200] [--quick]

Starts the server and a headless Chromium with a fake camera. Pages are opened, painted live and
dropped in turn: half of the tabs are closed, half are sent elsewhere, and every tenth one crashes.
After each fifth of them the server is read once no session is left.

Needs Playwright (pip) and Chromium (apt). Rows are written to benchmarks/results/web_drops.json and
.md.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import add_usual, in_one_line, keep, machine, run

ROWS = 5
CRASH_EVERY = 10
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip


def state_of(pid: int, connects: int) -> dict[str, int]:
    """What the process with a number holds now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return {
        "connects": connects,
        "memory_mb": int(values["VmRSS"].split()[0]) // 1000,
        "threads": int(values["Threads"]),
        "open_files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def measure(address: str, pid: int, times: int) -> Any:
    """Yields a row before the first connect and after each fifth of them."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        context = chromium.new_context()
        watcher = context.new_page()
        watcher.goto(address)
        yield state_of(pid, 0)
        for number in range(1, times + 1):
            page = context.new_page()
            page.goto(address)
            page.click("#start-button")
            page.wait_for_selector("#stage[data-state=live]", timeout=60_000)
            if number % CRASH_EVERY == 0:
                with contextlib.suppress(Error):
                    page.goto("chrome://crash", timeout=2000)
            elif number % 2:
                page.goto("about:blank")
            page.close()
            if number % (times // ROWS) == 0:
                while watcher.evaluate("fetch('/live').then(r => r.json()).then(l => l.length)"):
                    time.sleep(0.2)
                yield state_of(pid, number)
        chromium.close()


def table(rows: list[dict[str, int]], about: str) -> str:
    """The rows as Markdown."""
    lines = [
        "# Browsers that connect and vanish", "", about, "",
        "| connects | memory | threads | open files |", "|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        lines.append(
            f"| {row['connects']} | {row['memory_mb']} MB | {row['threads']} "
            f"| {row['open_files']} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measures, prints and keeps the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=200, help="connects; default: 200")
    add_usual(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        words = ["web", "--port", "0", "--no-browser", "--folder", name, "--size", "360p",
                 "--sessions", "16"]  # fmt: skip
        server = subprocess.Popen(
            [sys.executable, "-m", "realtime_style", *words], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout
        rows = []
        for row in measure(server.stdout.readline().strip(), server.pid, given.times):
            print(row, flush=True)
            rows.append(row)
        server.terminate()
        server.wait()
    if given.quick:
        return
    result = {"machine": machine(), "rows": rows}
    keep("web_drops", result, table(rows, in_one_line(machine())), folder=given.out)


if __name__ == "__main__":
    run(main)
