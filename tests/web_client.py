"""A server of the web page, and a browser that the tests play, with aiortc."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from realtime_style.engines.choice import EngineChoice
from realtime_style.painting.plan import PaintPlan
from realtime_style.web.bucket import Bucket
from realtime_style.web.server import WebServer
from realtime_style.web.settings import WebSettings

LONG_S = 30.0  # more than anything here takes; a test that waits so long fails


async def until(holds: Callable[[], object], what: str = "it") -> None:
    """Waits until something holds; fails if it takes too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONG_S):
            while not holds():
                await asyncio.sleep(0.005)
    assert holds(), f"{what} did not come true"


class GreyCamera(MediaStreamTrack):
    """A camera of one grey, 20 pictures a second, which sends until it is stopped."""

    kind = "video"

    def __init__(self, luma: int = 100, size: tuple[int, int] = (320, 240)) -> None:
        super().__init__()
        self.luma, self.size, self.count = luma, size, 0

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(0.05)
        width, height = self.size
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        planes[:height] = self.luma
        picture = av.VideoFrame.from_ndarray(planes, "yuv420p")
        picture.pts, picture.time_base = self.count * 4500, Fraction(1, 90_000)
        self.count += 1
        return picture


class Browser:
    """Sends a camera, and keeps what comes back."""

    def __init__(self, camera: MediaStreamTrack | None = None) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.camera = camera
        self.picture: np.ndarray[Any, Any] | None = None
        self.size = (0, 0)
        self.heard: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.channel = self.peer.createDataChannel("commands")
        self.channel.on("message", self._hear)
        self.peer.on(
            "track", lambda track: self.tasks.append(asyncio.create_task(self._see(track)))
        )

    async def offer(self) -> str:
        if self.camera:
            self.peer.addTrack(self.camera)
        else:
            self.peer.addTransceiver("video", direction="recvonly")
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return str(self.peer.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def command(self, name: str, **values: object) -> None:
        self.channel.send(json.dumps({"command": name, **values}))

    @property
    def luma(self) -> float:
        """The mean luma of the newest picture; -1 before the first."""
        if self.picture is None:
            return -1.0
        return float(self.picture[: self.size[1]].mean())

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await self.peer.close()

    def _hear(self, message: str) -> None:
        values = json.loads(message)
        self.heard.append(values)
        if "status" in values:
            self.statuses.append(values["status"])

    def _receive(self, track: MediaStreamTrack) -> None:
        self.tasks.append(asyncio.create_task(self._see(track)))

    async def _see(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                picture = await track.recv()
                if isinstance(picture, av.VideoFrame):
                    self.size = picture.width, picture.height
                    self.picture = picture.to_ndarray()


class Server:
    """A running server and a client that has its token; a context manager."""

    def __init__(self, folder: Path, style: Path, **settings: Any) -> None:
        plan = PaintPlan(style, EngineChoice("openvino", "f32"), 0.0, grain=False)
        self.settings = WebSettings(folder, port=0, plan=plan, **settings)

    async def __aenter__(self) -> Self:
        self.web = WebServer(self.settings, offers=Bucket(1000, 1000))
        await self.web.start()
        self.base, _, self.token = self.web.address.partition("/?token=")
        self.client = aiohttp.ClientSession(
            self.base, headers={"Authorization": f"Bearer {self.token}"}
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.close()
        await self.web.stop()

    async def connect(self, browser: Browser) -> str:
        """Opens a session for a browser, and returns its name."""
        async with self.client.post("/live", json={"sdp": await browser.offer()}) as response:
            assert response.status == 200, await response.text()
            answer = await response.json()
        await browser.accept(answer["sdp"])
        return str(answer["id"])

    @contextlib.asynccontextmanager
    async def painted(self, camera: GreyCamera) -> AsyncIterator[Browser]:
        """A browser whose camera is being painted."""
        browser = Browser(camera)
        await self.connect(browser)
        await until(lambda: browser.picture is not None and browser.statuses, "a painted picture")
        try:
            yield browser
        finally:
            await browser.close()
