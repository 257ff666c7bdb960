"""The server of the web page: who is let in, live sessions, and what it withstands."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
from collections.abc import Coroutine
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_cli

pytest.importorskip("aiohttp", reason="needs the extra web")
pytest.importorskip("aiortc", reason="needs the extra web")

import aiohttp
import av
from aiortc import RTCRtpReceiver, RTCRtpSender
from aiortc.rtp import RtpPacket
from web_client import Browser, GreyCamera, Server, until
from yarl import URL

from realtime_style.errors import MediaError
from realtime_style.live.clock import MICROSECOND
from realtime_style.web import pages, sdp, session
from realtime_style.web.bucket import Bucket
from realtime_style.web.page_source import Inbox, PageSource
from realtime_style.web.pages import Pages
from realtime_style.web.prompt_buffer import PromptBuffer
from realtime_style.web.settings import WebSettings
from realtime_style.web.tracks import PaintedTrack
from realtime_style.web.video_encoder import LiveVideoEncoder

GREY, NEGATIVE = 100, 155


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def near(value: float, wanted: float) -> bool:
    return abs(value - wanted) < 4


# Who is let in ----------------------------------------------------------------------------------


def test_the_token_in_the_address_becomes_a_cookie(tmp_path: Path, negative_style: Path) -> None:
    async def work() -> None:
        async with Server(tmp_path, negative_style) as server, aiohttp.ClientSession() as client:
            address = f"{server.web.address}&view=clean"
            async with client.get(address, allow_redirects=False) as response:
                assert response.status == 303
                assert response.headers["Location"] == "/?view=clean"
                cookie = response.headers["Set-Cookie"]
                assert "HttpOnly" in cookie
                assert "SameSite=Strict" in cookie
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as again:
                async with again.get(address) as page:
                    assert page.status == 200
                    assert "realtime-style" in await page.text()
                    policy = page.headers["Content-Security-Policy"]
                    assert "default-src 'none'" in policy
                    assert "unsafe" not in policy
                origin = {"Origin": server.base}
                body = json.dumps({"sdp": "v=0"})
                for headers, status in (({}, 403), (origin, 400)):
                    url = f"{server.base}/live"
                    async with again.post(url, data=body, headers=headers) as response:
                        assert response.status == status

    run(work())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": "Basic TOKEN"}, 403),
        ({"Cookie": "realtime-style-PORT=wrong"}, 403),
        ({"Authorization": "Bearer TOKEN", "Host": "evil.example:PORT"}, 403),
        ({"Authorization": "Bearer TOKEN", "Host": "127.0.0.1:1"}, 403),
        ({"Authorization": "Bearer TOKEN", "Origin": "http://evil.example"}, 403),
        ({"Authorization": "Bearer TOKEN", "Origin": "null"}, 403),
        ({"Authorization": "Bearer TOKEN", "Origin": "http://127.0.0.1:PORT"}, 200),
        ({"Authorization": "Bearer TOKEN", "Host": "localhost:PORT"}, 200),
        ({"Authorization": "Bearer TOKEN"}, 200),
        ({"Cookie": "realtime-style-PORT=TOKEN"}, 200),
    ],
)
def test_only_this_page_under_its_own_name_is_let_in(
    headers: dict[str, str], status: int, tmp_path: Path, negative_style: Path
) -> None:
    async def work() -> None:
        async with Server(tmp_path, negative_style) as server, aiohttp.ClientSession() as client:
            port = server.base.rpartition(":")[2]
            sent = {
                key: value.replace("TOKEN", server.token).replace("PORT", port)
                for key, value in headers.items()
            }
            async with client.get(f"{server.base}/about", headers=sent) as response:
                assert response.status == status
                assert response.headers["X-Content-Type-Options"] == "nosniff"

    run(work())


@pytest.mark.parametrize(
    "path",
    [
        "/%2e%2e/server.py", "/..%2fserver.py", "/server.py", "/page.css/../../server.py",
        "/captures/..%2f..%2fsecret", "/captures/%2e%2e", "/captures/.hidden.png",
        "/captures/link.png%00.txt", "/live/x/end", "/whep/x", "/page.css%00",
    ],
)  # fmt: skip
def test_nothing_but_its_own_files_is_served(
    path: str, tmp_path: Path, negative_style: Path
) -> None:
    (tmp_path / "secret").write_text("secret")

    async def work() -> None:
        async with Server(tmp_path / "web", negative_style) as server:
            (server.settings.captures / ".hidden.png").write_bytes(b"secret")
            url = URL(f"{server.base}{path}", encoded=True)
            async with server.client.get(url) as response:
                assert response.status in (404, 405)
                assert "secret" not in await response.text()

    run(work())


def test_requests_that_are_too_large_are_refused(tmp_path: Path, negative_style: Path) -> None:
    async def work() -> None:
        async with Server(tmp_path, negative_style) as server:
            for path, kind in (("/live", "application/json"), ("/whip", "application/sdp")):
                headers = {"Content-Type": kind}
                async with server.client.post(path, data="x" * 200_000, headers=headers) as answer:
                    assert answer.status == 413

    run(work())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": "0.0.0.0"}, "only to pages over HTTPS"),
        ({"host": "192.168.0.7"}, "only to pages over HTTPS"),
        ({"certificate": Path("cert.pem")}, "needs both"),
        ({"certificate": Path("no.pem"), "key": Path("no.pem")}, "there is no file"),
        ({"bitrate_mbit": 0.1}, "from 0.5 to 50 Mbit/s, not 0.1"),
        ({"ice": ("http://example.com",)}, "is not a STUN server"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MediaError, match=message):
        WebSettings(Path(), **settings)


def test_names_of_a_server(tmp_path: Path) -> None:
    local = WebSettings(tmp_path, names=("paint.example",))
    for name in ("127.0.0.1:80", "LOCALHOST:80", "[::1]:80", "paint.example", "localhost"):
        assert local.is_ours(name, 80), name
    for name in ("127.0.0.1:81", "evil.example:80", "10.0.0.1:80", "", "localhost.evil:80"):
        assert not local.is_ours(name, 80), name
    pem = tmp_path / "both.pem"
    pem.touch()
    wide = WebSettings(tmp_path, host="0.0.0.0", certificate=pem, key=pem)
    assert wide.is_ours("192.168.0.7:443", 443)
    assert wide.is_ours("192.168.0.7", 443)
    assert not wide.is_ours("evil.example:443", 443)


# Live sessions ----------------------------------------------------------------------------------


def test_a_camera_is_painted_and_commands_are_carried_out(
    tmp_path: Path, negative_style: Path
) -> None:
    async def work() -> None:
        server = Server(tmp_path, negative_style)
        async with server, server.painted(GreyCamera(GREY)) as browser:
            assert near(browser.luma, NEGATIVE)
            assert browser.size == (320, 240)
            status = browser.statuses[-1]
            assert status["styles"][status["chosen"]] == "negative"
            assert status["camera_size"] == [320, 240]
            browser.command("SetStrength", strength=0)
            await until(lambda: near(browser.luma, GREY), "strength 0")
            browser.command("ToggleFreeze")
            await until(lambda: browser.statuses[-1]["is_frozen"], "the frozen picture")
            browser.command("ToggleFreeze")
            browser.command("Quit")
            await until(lambda: "not allowed here" in str(browser.statuses[-1]["messages"]))

    run(work())


def test_two_cameras_do_not_know_each_other_and_a_third_must_wait(
    tmp_path: Path, negative_style: Path
) -> None:
    async def work() -> None:
        async with Server(tmp_path, negative_style) as server:
            async with (
                server.painted(GreyCamera(GREY)) as one,
                server.painted(GreyCamera(40)) as other,
            ):
                other.command("SetStrength", strength=0)
                await until(lambda: near(other.luma, 40), "the other's strength")
                assert near(one.luma, NEGATIVE)
                assert one.statuses[-1]["strength"] == 1
                third = Browser(GreyCamera())
                offer = {"sdp": await third.offer()}
                async with server.client.post("/live", json=offer) as response:
                    assert response.status == 503
                    assert "at most 2 cameras at once, and is busy" in await response.text()
                await third.close()
            await until(lambda: not len(server.web.sessions), "the end of both")
            async with server.painted(GreyCamera(GREY)) as again:
                assert near(again.luma, NEGATIVE)

    run(work())


def test_snapshots_and_recordings_can_be_fetched_and_deleted(
    tmp_path: Path, negative_style: Path
) -> None:
    async def work() -> None:
        async with Server(tmp_path, negative_style) as server:

            async def listed() -> list[str]:
                async with server.client.get("/captures") as response:
                    return [each["name"] for each in await response.json()]

            assert await listed() == []
            async with server.painted(GreyCamera(GREY)) as browser:
                browser.command("Snapshot")
                await until(lambda: "saved" in str(browser.statuses[-1]["messages"]), "a snapshot")
                browser.command("ToggleRecording")
                await until(lambda: browser.statuses[-1]["recordings"], "a recording")
                frames = browser.statuses[-1]["figures"]["frames"]
                await until(lambda: browser.statuses[-1]["figures"]["frames"] > frames, "frames")
            await until(lambda: not len(server.web.sessions), "the end of the session")
            names = await listed()
            assert sorted(Path(name).suffix for name in names) == [".mp4", ".png"]
            for name in names:
                async with server.client.get(f"/captures/{name}") as response:
                    assert response.headers["Content-Disposition"].startswith("attachment")
                    content = await response.read()
                assert content == (server.settings.captures / name).read_bytes()
                async with server.client.delete(f"/captures/{name}") as response:
                    assert response.status == 204
            assert await listed() == []

    run(work())


def test_whip_takes_the_picture_of_obs_and_whep_shows_the_painting(
    tmp_path: Path, negative_style: Path
) -> None:
    async def work() -> None:
        async with Server(tmp_path, negative_style) as server:
            headers = {"Content-Type": "application/sdp"}
            obs, viewer = Browser(GreyCamera(GREY)), Browser()
            offer = await obs.offer()
            async with server.client.post("/whip", data=offer, headers=headers) as response:
                assert response.status == 201
                assert response.content_type == "application/sdp"
                location = response.headers["Location"]
                await obs.accept(await response.text())
            name = location.rpartition("/")[2]
            async with server.client.get("/live") as response:
                assert await response.json() == [{"id": name}]
            offer = await viewer.offer()
            async with server.client.post(f"/whep/{name}", data=offer, headers=headers) as response:
                assert response.status == 201
                await viewer.accept(await response.text())
            await until(lambda: near(viewer.luma, NEGATIVE), "the painting at the viewer")
            assert obs.picture is None
            viewer.command("SetStrength", strength=0)
            await until(lambda: near(viewer.luma, GREY), "the viewer's command")
            await viewer.close()
            async with server.client.delete(location) as response:
                assert response.status == 204
            await until(lambda: not len(server.web.sessions), "the end of the session")
            await obs.close()

    run(work())


# What it withstands -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "offer",
    [
        None, 7, "", "x", "v=0", "v=0\r\n" + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 9,
        "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "v=0\r\nm=video\r\n",
        "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n",
        "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=candidate:rubbish\r\n",
        "v=0\r\n" + "a" * 70_000,
    ],
)  # fmt: skip
def test_rubbish_is_refused_and_the_server_lives(
    offer: object, tmp_path: Path, negative_style: Path
) -> None:
    async def work() -> None:
        async with Server(tmp_path, negative_style) as server:
            async with server.client.post("/live", json={"sdp": offer}) as response:
                assert response.status == 400
                assert "Traceback" not in await response.text()
            await until(lambda: not len(server.web.sessions), "the end of the session")
            async with server.client.get("/about") as response:
                assert response.status == 200

    run(work())


def test_headers_that_are_no_text_are_refused(tmp_path: Path, negative_style: Path) -> None:
    async def work() -> None:
        async with Server(tmp_path, negative_style) as server:
            host, port = server.base.removeprefix("http://").split(":")
            for header in (b"Authorization: Bearer \xff\xfe", b"Cookie: realtime-style=\xff"):
                reader, writer = await asyncio.open_connection(host, int(port))
                request = f"GET /about HTTP/1.1\r\nHost: {host}:{port}\r\n".encode()
                writer.write(request + header + b"\r\n\r\n")
                await writer.drain()
                assert b" 403 " in await asyncio.wait_for(reader.readline(), 10)
                writer.close()

    run(work())


def test_viewers_and_offers_are_limited(
    tmp_path: Path, negative_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_VIEWERS", 1)

    async def work() -> None:
        server = Server(tmp_path, negative_style)
        async with server, server.painted(GreyCamera()):
            (name,) = server.web.sessions.ids
            headers = {"Content-Type": "application/sdp"}
            viewers = [Browser(), Browser()]
            statuses = []
            for viewer, offer in (
                (viewers[0], ""),
                (viewers[0], "v=0"),
                (viewers[0], "x"),
                (viewers[1], "x"),
            ):
                text = await viewer.offer() if offer == "x" else offer
                url = f"/whep/{name}"
                async with server.client.post(url, data=text, headers=headers) as response:
                    statuses.append(response.status)
            assert statuses == [400, 400, 201, 503]
            for viewer in viewers:
                await viewer.close()

    run(work())


@pytest.mark.parametrize("body", [b"", b"[]", b"[" * 100_000, b"\xff\xfe", b"{"])
def test_bodies_that_are_no_json_are_refused(
    body: bytes, tmp_path: Path, negative_style: Path
) -> None:
    async def work() -> None:
        server = Server(tmp_path, negative_style)
        async with server, server.client.post("/live", data=body) as response:
            assert response.status == 400

    run(work())


def test_a_flood_of_messages_only_slows_its_sender(tmp_path: Path, negative_style: Path) -> None:
    async def work() -> None:
        server = Server(tmp_path, negative_style)
        async with server, server.painted(GreyCamera(GREY)) as browser:
            for message in ("x" * 3000, "{", '{"command": "Explode"}', b"bytes"):
                browser.channel.send(message)
            await until(lambda: sum("refused" in each for each in browser.heard) == 3, "refusals")
            for _ in range(3000):
                browser.command("StepStyle", by=0)
            frames = browser.statuses[-1]["figures"]["frames"]
            await until(lambda: browser.statuses[-1]["figures"]["frames"] > frames + 9, "frames")
            assert near(browser.luma, NEGATIVE)
            assert len(server.web.sessions) == 1

    run(work())


def test_sessions_that_do_not_connect_or_fall_silent_end(
    tmp_path: Path, negative_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_CHECK_S", 0.01)

    async def work() -> None:
        async with Server(tmp_path, negative_style) as server:
            monkeypatch.setattr(session, "CONNECT_S", 0.05)
            absent = Browser(GreyCamera())
            async with server.client.post("/live", json={"sdp": await absent.offer()}) as response:
                assert response.status == 200
            await until(lambda: not len(server.web.sessions), "the end without a connection")
            await absent.close()
            monkeypatch.setattr(session, "CONNECT_S", 30.0)
            async with server.painted(GreyCamera()) as browser:
                monkeypatch.setattr(session, "SILENT_S", 0.2)
                assert browser.camera
                browser.camera.stop()
                await until(lambda: not len(server.web.sessions), "the end of the silent session")
                assert {"ended": "the browser has fallen silent"} in browser.heard

    run(work())


@pytest.mark.slow
def test_everything_is_freed_after_connects_and_drops(tmp_path: Path, negative_style: Path) -> None:
    async def work() -> None:
        async with Server(tmp_path, negative_style) as server:
            counts = []
            for i in range(12):
                async with server.painted(GreyCamera()):
                    pass
                await until(lambda: not len(server.web.sessions), "the end of the session")
                if i in (3, 11):
                    files = sum(1 for _ in Path("/proc/self/fd").glob("*"))  # Linux
                    counts.append((threading.active_count(), files, len(asyncio.all_tasks())))
            assert counts[1][0] <= counts[0][0] + 1
            assert counts[1][1] <= counts[0][1] + 2
            assert counts[1][2] <= counts[0][2] + 2

    run(work())


# Parts ------------------------------------------------------------------------------------------

ANSWER = (
    "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 102 103 96\r\na=rtpmap:102 H264/90000\r\n"
    "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1\r\na=rtpmap:103 rtx/90000\r\n"
    "a=fmtp:103 apt=102\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\n"
)


def test_the_answer_tells_chrome_the_bitrates() -> None:
    limits = "x-google-start-bitrate=4000;x-google-min-bitrate=2500;x-google-max-bitrate=5000"
    lines = sdp.with_bitrates(ANSWER, 5).split("\r\n")
    assert f"a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;{limits}" in lines
    assert lines[lines.index("a=rtpmap:96 VP8/90000") + 1] == f"a=fmtp:96 {limits}"
    assert "a=fmtp:103 apt=102" in lines
    assert len(lines) == len(ANSWER.split("\r\n")) + 1
    assert sdp.with_bitrates("v=0\r\n", 5) == "v=0\r\n"
    assert sdp.video_codec(ANSWER) == "H264"
    assert sdp.video_codec("v=0\r\n") == ""


def test_a_bucket_allows_a_burst_and_then_a_rate() -> None:
    now = [0.0]
    bucket = Bucket(2, 3, lambda: now[0])
    assert [bucket.take() for _ in range(5)] == [True] * 3 + [False] * 2
    now[0] = 1.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now[0] = 100.0
    assert [bucket.take() for _ in range(4)] == [True] * 3 + [False]


def picture(luma: int = 100, size: tuple[int, int] = (320, 240), pts: int = 0) -> av.VideoFrame:
    planes = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
    planes[: size[1]] = luma
    made = av.VideoFrame.from_ndarray(planes, "yuv420p")
    made.pts, made.time_base = pts, Fraction(1, 1_000_000)
    return made


def kinds(payloads: list[bytes]) -> set[int]:
    """The kinds of the H.264 units in RTP payloads, as in RFC 6184."""
    found: set[int] = set()
    for payload in payloads:
        kind = payload[0] & 31
        if kind == 24:
            at = 1
            while at < len(payload):
                found.add(payload[at + 2] & 31)
                at += 2 + int.from_bytes(payload[at : at + 2], "big")
        else:
            found.add(payload[1] & 31 if kind == 28 else kind)
    return found


def test_the_encoder_sends_key_frames_on_demand_and_new_rates_without_one() -> None:
    encoder, key, rng = LiveVideoEncoder(2.0), 5, np.random.default_rng(0)

    def encode(i: int, size: tuple[int, int] = (320, 240), force: bool = False) -> list[bytes]:
        noisy = picture(size=size, pts=i * 33_333)
        planes = noisy.to_ndarray()
        planes[: size[1]] = 90 + rng.integers(0, 40, (size[1], size[0]))
        again = av.VideoFrame.from_ndarray(planes, "yuv420p")
        again.pts, again.time_base = noisy.pts, noisy.time_base
        payloads, time = encoder.encode(again, force)
        assert time == round(i * 33_333 * 0.09)
        assert payloads, "a picture was held back"
        return payloads

    assert key in kinds(encode(0))
    assert key not in kinds(encode(1))
    assert key in kinds(encode(2, force=True))
    encoder.target_bitrate = 8_000_000
    assert encoder.target_bitrate == 2_000_000
    many = sum(map(len, [p for i in range(3, 33) for p in encode(i)]))
    encoder.target_bitrate = 600_000
    fewer = [encode(i) for i in range(33, 93)]
    assert not any(key in kinds(each) for each in fewer)
    assert sum(map(len, [p for each in fewer[30:] for p in each])) < 0.6 * many
    assert key in kinds(encode(93, (160, 120)))


def test_a_picture_is_given_away_with_its_last_packet() -> None:
    def packet(number: int, timestamp: int, data: bytes, marker: int = 0) -> RtpPacket:
        made = RtpPacket(sequence_number=number % 65536, timestamp=timestamp, marker=marker)
        made._data = data
        return made

    def put(*given: tuple[int, int, bytes, int]) -> list[bytes | None]:
        frames = [buffer.add(packet(*each))[1] for each in given]
        return [frame and frame.data for frame in frames]

    buffer = PromptBuffer(16, is_video=True)
    assert put((65534, 1, b"a", 0), (65535, 1, b"b", 1)) == [None, b"ab"]
    assert put((0, 2, b"c", 1)) == [b"c"]
    assert put((1, 2, b"", 0), (2, 2, b"", 0), (3, 3, b"d", 1)) == [None, None, b"d"]
    assert put((5, 4, b"f", 1), (4, 4, b"e", 0)) == [None, b"ef"]  # in the wrong order
    assert put((6, 5, b"g", 0), (7, 6, b"h", 0), (8, 6, b"i", 1)) == [None, b"g", b"hi"]
    assert put((10, 7, b"k", 1), (11, 8, b"l", 1), (9, 7, b"j", 0)) == [None, None, b"jk"]
    assert put((12, 9, b"m", 1)) == [b"l"]


def test_aiortc_still_has_what_is_replaced_in_it() -> None:
    assert "__jitter_buffer = JitterBuffer(" in inspect.getsource(RTCRtpReceiver)
    assert "if self.__encoder is None:" in inspect.getsource(RTCRtpSender)


def test_the_newest_painted_picture_is_sent_and_again_while_it_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from realtime_style.web import tracks

    monkeypatch.setattr(tracks, "_AGAIN_S", 0.02)

    async def work() -> None:
        track = PaintedTrack()
        for luma in (1, 2, 3):
            track.offer(picture(luma, pts=luma))
        await asyncio.sleep(0)
        first, again = await track.recv(), await track.recv()
        assert isinstance(first, av.VideoFrame)
        assert isinstance(again, av.VideoFrame)
        assert first.to_ndarray()[0, 0] == again.to_ndarray()[0, 0] == 3
        assert again.pts is not None
        assert again.pts > 3 * 0.09
        track.stop()
        with pytest.raises(Exception):  # noqa: B017, PT011
            await track.recv()

    run(work())


def test_a_source_keeps_the_size_of_its_first_picture() -> None:
    inbox = Inbox()
    inbox.put(picture(100))
    source = PageSource(inbox)
    assert (source.info.width, source.info.height, source.info.time_base) == (320, 240, MICROSECOND)
    frames = iter(source)
    assert next(frames).luma.mean() == 100
    inbox.put(picture(60, (160, 120)))
    inbox.put(picture(50, (160, 120)))
    smaller = next(frames)
    assert (smaller.width, smaller.height) == (320, 240)
    assert abs(float(smaller.luma.mean()) - 50) < 1
    assert inbox.dropped == 1
    for size in ((640, 480), (240, 320)):
        inbox.put(picture(50, size))
        with pytest.raises(MediaError, match="pictures have become"):
            next(iter(source)), next(frames)
        frames = iter(source)
        next(frames)
    inbox.close()
    with pytest.raises(MediaError, match="sends no pictures"):
        inbox.open()


def test_the_page_is_small_and_whole() -> None:
    folder = Path(Pages.__init__.__globals__["_FOLDER"])
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files if path.suffix != ".webp")
    assert size < 150_000
    page = (folder / "index.html").read_text(encoding="utf-8")
    scripts = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.js"))
    assert "http://" not in page + scripts.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page + scripts
    assert "style=" not in page  # which the content security policy would block
    assert "onclick" not in page


# The command ------------------------------------------------------------------------------------


def test_addresses_for_others_need_a_certificate() -> None:
    result = run_cli("web", "--host", "0.0.0.0", "--no-browser")
    assert result.returncode == 2
    assert "browsers give their camera only to pages over HTTPS" in result.stderr
    assert "--cert" in result.stderr


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ("web", "--port", str(taken.getsockname()[1]), "--no-browser")
        result = run_cli(*words, "--folder", str(tmp_path))
    assert result.returncode == 1
    assert "Address already in use" in result.stderr


def test_the_page_is_light() -> None:
    """Under 150 kB without the pictures of the styles, as it is sent."""
    folder = Path(pages.__file__).parent / "static"
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".webp"]
    assert len(files) > 10
    assert sum(path.stat().st_size for path in files) < 150_000
