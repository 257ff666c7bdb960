"""The command `web`: a page in the browser."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realtime_style.cli import console
from realtime_style.cli.console import Output
from realtime_style.cli.help import examples
from realtime_style.cli.options import (
    MACHINE,
    OUTPUT,
    SIZE,
    Background,
    Engine,
    Only,
    Precision,
    Quiet,
    Stability,
    StyleName,
    Tier,
    engine_of,
    mask_of,
    number,
    plain_look,
    plan_of,
    required_size,
    size_of,
    usage_errors,
    whole,
)
from realtime_style.defaults import DEFAULT_STABILITY, DEFAULT_STYLE
from realtime_style.errors import StyleError

if TYPE_CHECKING:
    from realtime_style.web.settings import WebSettings

WEB_EXAMPLES = examples(
    "web",
    "web --style mondrian --no-browser",
    "web --host 0.0.0.0 --cert cert.pem --key key.pem",
)

NETWORK = "Network"

Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", rich_help_panel=NETWORK,
        help="Listen here. Other addresses than 127.0.0.1 need --cert and --key.",
    ),
]  # fmt: skip
Port = Annotated[
    int,
    typer.Option(
        parser=whole(0, 65535), metavar="NUMBER", rich_help_panel=NETWORK,
        help="TCP port; 0 takes any free one.",
    ),
]  # fmt: skip
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name", metavar="NAME", rich_help_panel=NETWORK,
        help="Another name of this server, such as that of a proxy with HTTPS; may be repeated.",
    ),
]  # fmt: skip
Certificate = Annotated[
    Path | None,
    typer.Option("--cert", metavar="FILE", rich_help_panel=NETWORK, help="Certificate, PEM."),
]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", rich_help_panel=NETWORK, help="Its key, PEM."),
]
Ice = Annotated[
    list[str] | None,
    typer.Option(
        metavar="stun:HOST:PORT", rich_help_panel=NETWORK,
        help="Ask this STUN server for a way through the network; may be repeated. Without it no "
        "server is asked.",
    ),
]  # fmt: skip
SessionCount = Annotated[
    int,
    typer.Option(
        "--sessions", parser=whole(1, 16), metavar="NUMBER", rich_help_panel=MACHINE,
        help="How many cameras may be painted at once.",
    ),
]  # fmt: skip
Bitrate = Annotated[
    float,
    typer.Option(
        parser=number(0.5, 50), metavar="MBIT", rich_help_panel=SIZE,
        help="Of the picture to and from the browser, in Mbit/s.",
    ),
]  # fmt: skip
LiveSize = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="SIZE", rich_help_panel=SIZE,
        help="Paint live at this size, 360p or 640x360. Default: what this computer keeps up with.",
    ),
]  # fmt: skip
MinSize = Annotated[
    str,
    typer.Option(
        "--min-size", metavar="SIZE", rich_help_panel=SIZE,
        help="Smallest live painting size; below it, frames are dropped instead.",
    ),
]  # fmt: skip
Folder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", rich_help_panel=OUTPUT,
        help="Where films, snapshots and recordings are kept. Default: a folder of this user.",
    ),
]  # fmt: skip
NoBrowser = Annotated[
    bool,
    typer.Option("--no-browser", rich_help_panel=OUTPUT, help="Print the address; open nothing."),
]


def web(
    host: Host = "127.0.0.1",
    port: Port = 8377,
    name: Names = None,
    cert: Certificate = None,
    key: Key = None,
    ice: Ice = None,
    style: StyleName = DEFAULT_STYLE,
    tier: Tier = "standard",
    stability: Stability = DEFAULT_STABILITY,
    only: Only = None,
    background: Background = None,
    size: LiveSize = None,
    min_size: MinSize = "360p",
    bitrate: Bitrate = 5.0,
    sessions: SessionCount = 2,
    engine: Engine = "auto",
    precision: Precision = "auto",
    folder: Folder = None,
    no_browser: NoBrowser = False,
    quiet: Quiet = False,
) -> None:
    """Opens a page in the browser: paints its camera live. Stop it with Ctrl-C.

    The page is served on this computer only, unless another address is given, and nothing leaves
    the computer.
    """
    _refuse_without_web()
    from platformdirs import user_data_path

    from realtime_style.web.settings import WebSettings

    choice, mask = engine_of(engine, precision), mask_of(only, background)
    plan = plan_of(plain_look(style, tier), choice, stability, mask)
    advice = "" if cert else "--cert and --key take them, --name the name of a proxy"
    with usage_errors("" if host == "127.0.0.1" else advice):
        settings = WebSettings(
            folder or user_data_path("realtime-style") / "web",
            host, port, tuple(name or ()), cert, key, plan,
            size=size_of(size, "size"), min_size=required_size(min_size, "min_size"),
            sessions=sessions, bitrate_mbit=bitrate, ice=tuple(ice or ()),
        )  # fmt: skip
    _serve(settings, Output(quiet, False), opens_browser=not no_browser)


def _refuse_without_web() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("aiohttp", "aiortc") if find_spec(name) is None]
    if missing:
        raise StyleError(
            f"the web page needs {' and '.join(missing)}; run: pip install 'realtime-style[web]'"
        )


def _serve(settings: WebSettings, output: Output, *, opens_browser: bool) -> None:
    import asyncio
    import webbrowser

    from realtime_style.web.server import serve

    def on_ready(address: str) -> None:
        console.print_result(address)
        output.say(f"files are kept in {settings.folder}; stop with Ctrl-C")
        if opens_browser:
            webbrowser.open(address)

    with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
        asyncio.run(serve(settings, on_ready))
