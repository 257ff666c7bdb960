"""One live session: a browser's camera, the job that paints it, and who sees the painting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError

from realtime_style.errors import MediaError, StyleError
from realtime_style.live import commands
from realtime_style.live.commands import COMMANDS, command_from_json
from realtime_style.live.front_end import LiveStatus, Shot
from realtime_style.live.request import LiveRequest, live_job
from realtime_style.live.sound import SoundBus
from realtime_style.painting.style_picture import is_picture
from realtime_style.web import sdp
from realtime_style.web.bucket import Bucket
from realtime_style.web.page_front_end import PageFrontEnd
from realtime_style.web.page_source import Inbox
from realtime_style.web.prompt_buffer import PromptBuffer
from realtime_style.web.settings import WebSettings
from realtime_style.web.tracks import PaintedTrack, PassingSound
from realtime_style.web.video_encoder import LiveVideoEncoder

CONNECT_S = 20.0  # how long a connection may take
SILENT_S = 20.0  # without a picture and a message, after which a session ends
_CHECK_S = 1.0
_CLOSE_S = 5.0  # how long a connection may take to close
_JOIN_S = 15.0  # how long a job may take to complete its recording
_MESSAGE_BYTES = 2048  # the longest message that is read
_MESSAGES_PER_S, _MESSAGE_BURST = 30.0, 120.0
_BUFFER_PACKETS = 512  # as many as aiortc keeps
_VIEWERS = 4  # of one session, besides its camera's page
_UNSENT_BYTES = 64 << 10  # no more is told to a page that reads nothing

_log = logging.getLogger(__name__)


class BusyError(StyleError):
    """As many as allowed are connected already, or offers come too fast."""


class Session:
    """One browser's camera, painted by a job on a thread of its own.

    All methods are called on the event loop.

    Attributes:
        id: names the session in addresses; cannot be guessed.
        why_ended: why it ended, as a sentence; "" while it runs, and if the user ended it.
    """

    def __init__(self, settings: WebSettings, on_end: Callable[[Session], None]) -> None:
        """Starts nothing yet. Args: on_end, called once when the session has ended."""
        self.id = secrets.token_urlsafe(9)
        self.why_ended = ""
        self._settings, self._on_end = settings, on_end
        self._loop = asyncio.get_running_loop()
        self._inbox, self._sounds = Inbox(), SoundBus()
        self._front_end = PageFrontEnd(self._tell_from_thread)
        self._peers: list[RTCPeerConnection] = []
        self._channels: set[RTCDataChannel] = set()
        self._is_open = asyncio.Event()  # there is, or was, a channel
        self._messages = Bucket(_MESSAGES_PER_S, _MESSAGE_BURST)
        self._heard_s = time.monotonic()
        self._is_connected = False
        self._pumps: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._job_ended = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name=f"session {self.id}", daemon=True)

    async def join(self, offer: str, *, sends_back: bool = True) -> str:
        """Accepts the connection of a camera, and starts to paint it.

        Args:
            offer: its session description.
            sends_back: whether it gets the painting and its sound, if it wants them.

        Returns:
            The answer to it.

        Raises:
            MediaError: it is not an offer of a camera.
        """
        peer = self._new_peer()
        video: list[MediaStreamTrack] = []

        @peer.on("connectionstatechange")
        def on_change() -> None:
            self._is_connected = self._is_connected or peer.connectionState == "connected"
            if peer.connectionState in ("failed", "closed"):
                self.end("the connection was lost")

        @peer.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            if track.kind == "video" and not video:
                video.append(track)
                self._start(self._pump(track))
                if sends_back:
                    self._add_viewer(peer)
            elif track.kind == "audio":
                sound = PassingSound(track, self._sounds)
                if sends_back:
                    peer.addTrack(sound)
                else:
                    self._start(self._drain(sound))

        @peer.on("datachannel")
        def on_channel(channel: RTCDataChannel) -> None:
            self._listen(channel)
            channel.on("close", self.end)

        answer = await self._answer(peer, offer)
        if not video:
            raise MediaError("the offer has no video; the camera must be part of it")
        self._thread.start()
        self._watch = asyncio.create_task(self._watch_over())
        return answer

    async def watch(self, offer: str) -> str:
        """Accepts the connection of one more viewer; returns the answer to its offer.

        Raises:
            BusyError: there are as many viewers as one session may have.
            MediaError: it is not an offer of a viewer.
        """
        if len(self._peers) > _VIEWERS:
            raise BusyError(f"{_VIEWERS} viewers see this painting already, which is the most")
        peer = self._new_peer()
        viewer = self._add_viewer(peer)
        peer.on("datachannel", self._listen)

        async def leave() -> None:
            self._remove_viewer(viewer)
            if peer in self._peers:
                self._peers.remove(peer)
                await _closed(peer)

        @peer.on("connectionstatechange")
        async def on_change() -> None:
            if peer.connectionState in ("failed", "closed"):
                await leave()

        try:
            return await self._answer(peer, offer)
        except MediaError:
            await leave()
            raise

    def end(self, why: str = "") -> None:
        """Begins to end the session; a second call does nothing."""
        if self._closing is None:
            self.why_ended = why
            self._closing = asyncio.ensure_future(self._close())

    async def ended(self) -> None:
        """Ends the session and waits for it."""
        self.end()
        assert self._closing
        await self._closing

    # Connections ------------------------------------------------------------------------------

    def _new_peer(self) -> RTCPeerConnection:
        servers = [RTCIceServer(urls=address) for address in self._settings.ice]
        peer = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._peers.append(peer)
        return peer

    def _add_viewer(self, peer: RTCPeerConnection) -> PaintedTrack:
        track = PaintedTrack()
        peer.addTrack(track)
        self._front_end.viewers = (*self._front_end.viewers, track)
        return track

    def _remove_viewer(self, track: PaintedTrack) -> None:
        self._front_end.viewers = tuple(
            each for each in self._front_end.viewers if each is not track
        )

    async def _answer(self, peer: RTCPeerConnection, offer: str) -> str:
        refusal = sdp.refusal_of(offer)
        if refusal:
            raise MediaError(refusal)
        try:
            await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            _prefer_h264(peer)
            _use_own_buffer(peer)
            answer = await peer.createAnswer()
            if sdp.video_codec(answer.sdp) == "H264":
                self._use_own_encoder(peer)
            await peer.setLocalDescription(answer)
        except Exception as error:  # aiortc raises many kinds for descriptions that make no sense
            _log.info("an offer was refused: %r", error)
            raise MediaError(f"the offer cannot be used: {error}") from error
        return sdp.with_bitrates(peer.localDescription.sdp, self._settings.bitrate_mbit)

    def _use_own_encoder(self, peer: RTCPeerConnection) -> None:
        for sender in peer.getSenders():
            if isinstance(sender.track, PaintedTrack):
                encoder = LiveVideoEncoder(self._settings.bitrate_mbit)
                # aiortc has no public way: it makes its own encoder unless there is one
                setattr(sender, "_RTCRtpSender__encoder", encoder)  # noqa: B010

    async def _watch_over(self) -> None:
        """Ends the session if it does not connect, or falls silent."""
        began_s = time.monotonic()
        while True:
            await asyncio.sleep(_CHECK_S)
            now_s = time.monotonic()
            if not self._is_connected and now_s - began_s > CONNECT_S:
                self.end("the browser could not be reached")
            elif now_s - max(self._heard_s, self._inbox.heard_s) > SILENT_S:
                self.end("the browser has fallen silent")

    # What comes in ----------------------------------------------------------------------------

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)

    async def _pump(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                picture = await track.recv()
                if isinstance(picture, av.VideoFrame):
                    self._inbox.put(picture)
        self.end()

    async def _drain(self, sound: PassingSound) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await sound.recv()

    def _listen(self, channel: RTCDataChannel) -> None:
        """Takes commands from a channel, and tells it the status."""
        self._channels.add(channel)
        self._is_open.set()
        channel.on("message", self._on_message)

    def _on_message(self, message: str | bytes) -> None:
        self._heard_s = time.monotonic()
        if not self._messages.take() or not isinstance(message, str):
            return None
        if len(message) > _MESSAGE_BYTES:
            return self._send({"refused": f"messages have at most {_MESSAGE_BYTES} characters"})
        if message.startswith("ping"):
            return self._send({"pong": message[4:20]})
        try:
            self._front_end.give(command_from_json(message))
        except StyleError as error:
            self._send({"refused": str(error)})
        return None

    # What goes out ----------------------------------------------------------------------------

    def _tell_from_thread(self, shot: Shot, status: LiveStatus) -> None:
        sizes = {
            "camera_size": [shot.original.width, shot.original.height],
            "painted_size": [shot.painted.width, shot.painted.height],
        }
        told = asdict(status) | sizes | {"recordings": len(status.recordings)}
        told["figures"]["dropped"] += self._inbox.dropped
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._send, {"status": told})

    def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        for channel in tuple(self._channels):
            if channel.readyState == "closed":
                self._channels.discard(channel)
            elif channel.readyState == "open" and channel.bufferedAmount < _UNSENT_BYTES:
                channel.send(text)

    # The job ----------------------------------------------------------------------------------

    def _run(self) -> None:
        settings, why = self._settings, ""
        try:
            pictures = settings.style_pictures
            request = LiveRequest(
                plan=settings.plan,
                style_images=pictures if any(map(is_picture, pictures.glob("[!.]*"))) else None,
                size=settings.size,
                min_size=settings.min_size,
            )
            live_job(
                request,
                open_source=self._inbox.open,
                has_end=True,
                sounds=self._sounds,
                open_front_end=lambda info: self._front_end,
                folder=settings.captures,
                allowed=COMMANDS - {commands.Quit},
            ).run()
        except StyleError as error:
            why = str(error)
        except Exception as error:  # the session ends, the server goes on
            _log.exception("session %s failed", self.id)
            why = f"painting failed: {error}"
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._after_job, why)

    def _after_job(self, why: str) -> None:
        self._job_ended.set()
        self.end(why)

    async def _close(self) -> None:
        if self._watch:
            self._watch.cancel()
        if self.why_ended and self._thread.ident is not None:  # such as an engine that fails
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_open.wait(), _CLOSE_S)
        self._send({"ended": self.why_ended})
        self._front_end.leave()
        self._inbox.close()
        if self._thread.ident is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._job_ended.wait(), _JOIN_S)
        for viewer in self._front_end.viewers:
            viewer.stop()
        self._front_end.viewers = ()
        for peer in self._peers:
            await _closed(peer)
        for pump in tuple(self._pumps):
            pump.cancel()
        self._peers.clear()
        self._channels.clear()
        self._on_end(self)


async def _closed(peer: RTCPeerConnection) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(peer.close(), _CLOSE_S)


def _use_own_buffer(peer: RTCPeerConnection) -> None:
    for transceiver in peer.getTransceivers():
        if transceiver.kind == "video":
            buffer = PromptBuffer(_BUFFER_PACKETS, is_video=True)
            # as for the encoder, there is no public way
            setattr(transceiver.receiver, "_RTCRtpReceiver__jitter_buffer", buffer)  # noqa: B010


def _prefer_h264(peer: RTCPeerConnection) -> None:
    """Puts H.264 first, which costs browsers and this computer less than VP8."""
    known = RTCRtpReceiver.getCapabilities("video")
    assert known
    ordered = sorted(known.codecs, key=lambda codec: codec.mimeType != "video/H264")
    for transceiver in peer.getTransceivers():
        if transceiver.kind == "video":
            transceiver.setCodecPreferences(ordered)
