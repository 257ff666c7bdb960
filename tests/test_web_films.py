"""Films and pictures on the web page: uploads, previews, the queue, downloads."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_film, run_cli, scene_rgb
from PIL import Image

pytest.importorskip("aiohttp", reason="needs the extra web")
pytest.importorskip("aiortc", reason="needs the extra web")

from web_client import LONG_S, GreyCamera, Server
from yarl import URL

from realtime_style.web.library import CANCELLED, DONE, QUEUED, RUNNING, Library, is_text

LOOK = {"style": "starry-night", "stability": 0.0}


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 120))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    Image.fromarray(scene_rgb(160, 120)).save(path)
    return path


async def upload(server: Server, path: Path, name: str | None = None) -> dict[str, Any]:
    url = f"/films?name={name or path.name}"
    async with server.client.post(url, data=path.read_bytes()) as response:
        assert response.status == 200, await response.text()
        values: dict[str, Any] = await response.json()
        return values


async def paint(server: Server, film: dict[str, Any], **look: Any) -> str:
    url = f"/films/{film['id']}/paint"
    async with server.client.post(url, json=LOOK | look) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["id"])


async def settled(server: Server, painting: str, *states: str) -> dict[str, Any]:
    """The painting, once it is in one of the states."""
    async with asyncio.timeout(LONG_S):
        while True:
            async with server.client.get("/films") as response:
                listed = (await response.json())["paintings"]
            found: dict[str, Any] = next(each for each in listed if each["id"] == painting)
            if found["state"] in states:
                return found
            await asyncio.sleep(0.02)


async def newest_frame(server: Server, painting: str) -> np.ndarray[Any, Any]:
    """The newest painted frame of a painting, once there is one."""
    async with asyncio.timeout(LONG_S):
        while True:
            async with server.client.get(f"/paintings/{painting}/newest") as response:
                content = await response.read()
                if response.status == 200:
                    assert response.content_type == "image/jpeg"
                    return np.asarray(Image.open(io.BytesIO(content)))
            assert (response.status, content) == (204, b"")
            await asyncio.sleep(0.02)


@pytest.mark.slow
def test_a_film_is_painted_as_on_the_command_line(tmp_path: Path, negative_style: Path) -> None:
    film = make_film(tmp_path / "holiday.mp4", size=(128, 96))

    async def work() -> None:
        async with Server(tmp_path / "web", negative_style) as server:
            kept = await upload(server, film, "../../my%20holiday.mp4")
            assert kept["name"] == "../../my holiday.mp4"
            assert (kept["width"], kept["height"], kept["duration_s"]) == (128, 96, 0.4)
            painting = await settled(server, await paint(server, kept), DONE, "failed")
            assert painting["state"] == DONE, painting["notes"]
            assert painting["name"] == "my holiday-starry-night.mp4"
            url = f"/paintings/{painting['id']}/file"
            async with server.client.get(url) as response:
                assert "my%20holiday-starry-night.mp4" in response.headers["Content-Disposition"]
                content = await response.read()
            plain = tmp_path / "plain.mp4"
            run_cli("video", film, plain, "--style", "starry-night", "--stability", "0",
                    "--engine", "openvino", "--precision", "f32", "--quiet")  # fmt: skip
            assert content == plain.read_bytes()
            async with server.client.get(f"{url}?view", headers={"Range": "bytes=0-9"}) as part:
                assert part.status == 206
            async with server.client.delete(f"/paintings/{painting['id']}") as response:
                assert response.status == 204
            async with server.client.delete(f"/films/{kept['id']}") as response:
                assert response.status == 204
            left = [path for path in (tmp_path / "web").rglob("*") if path.is_file()]
            assert left == []

    run(work())


@pytest.mark.slow
def test_time_and_size_are_estimated(tmp_path: Path, negative_style: Path, picture: Path) -> None:
    film = make_film(tmp_path / "film.mp4", size=(320, 240), pts=range(300))

    async def work() -> None:
        async with Server(tmp_path / "web", negative_style) as server:

            async def estimate(kept: dict[str, Any]) -> Any:
                url = f"/films/{kept['id']}/estimate"
                async with server.client.post(url, json=LOOK) as response:
                    assert response.status == 200, await response.text()
                    return await response.json()

            kept = await upload(server, film)
            first = asyncio.create_task(estimate(kept))
            second = asyncio.create_task(estimate(kept))
            expected = await second
            assert await first is None
            painting = await settled(server, await paint(server, kept), DONE)
            size = painting["size_bytes"]
            assert 0.6 * size < expected["size_bytes"] < 1.6 * size
            assert expected["painting_s"] > 0
            assert await estimate(await upload(server, picture)) is None

    run(work())


def test_previews_show_the_frame_in_a_look(
    tmp_path: Path, negative_style: Path, picture: Path
) -> None:
    film = make_film(tmp_path / "film.mp4", size=(128, 96))

    async def work() -> None:
        async with Server(tmp_path / "web", negative_style) as server:

            async def preview(kept: dict[str, Any], query: str) -> np.ndarray[Any, Any]:
                url = f"/films/{kept['id']}/preview?{query}"
                async with server.client.get(url) as response:
                    assert response.status == 200, await response.text()
                    assert response.content_type == "image/jpeg"
                    return np.asarray(Image.open(io.BytesIO(await response.read())))

            moving, still = await upload(server, film), await upload(server, picture)
            early, late = await preview(moving, "at=0"), await preview(moving, "at=0.36")
            assert early.shape == (360, 480, 3)
            assert late.mean() > early.mean() + 20  # the film's grey rises
            assert (await preview(moving, "at=99")).mean() > early.mean() + 20
            plain = await preview(still, "at=0")
            assert abs(plain.astype(int) - scene_rgb(160, 120)).mean() < 4
            painted = await preview(still, "style=mondrian")
            assert abs(painted.astype(int) - plain).mean() > 10
            kept_colors = await preview(still, "style=mondrian&colors=true&strength=0")
            assert abs(kept_colors.astype(int) - plain).mean() < 4
            for query in ("style=nothing", "style=../../secret.onnx"):
                url = f"/films/{still['id']}/preview?{query}"
                async with server.client.get(url) as response:
                    assert response.status == 400

    run(work())


@pytest.mark.parametrize(
    ("name", "content", "status", "message"),
    [
        ("list.mp4", b"#EXTM3U\n/etc/passwd\n", 415, "this is a text"),
        ("page.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "this is a text"),
        ("noise.mp4", bytes(range(256)) * 50, 415, "noise.mp4"),
        ("noise.png", bytes(range(256)) * 50, 415, "cannot be read"),
        ("script.exe", b"MZ\0\0", 415, "is no film or picture"),
        ("", b"\0", 415, "is no film or picture"),
        ("large.mp4", b"\0" * 70_000, 413, "files may have at most"),
        (".mp4/../../x", b"\0", 415, "is no film or picture"),
    ],
)
def test_uploads_that_are_refused_leave_nothing(
    name: str, content: bytes, status: int, message: str, tmp_path: Path, negative_style: Path
) -> None:
    async def in_pieces() -> Any:  # without a length in the header
        for i in range(0, len(content), 1000):
            yield content[i : i + 1000]

    async def work() -> None:
        async with Server(tmp_path, negative_style, upload_bytes=60_000) as server:
            for body in (content, in_pieces()):
                sent = server.client.post("/films", params={"name": name}, data=body)
                async with sent as refused:
                    assert refused.status == status
                    text = await refused.text()
                    assert message in text
                    assert str(tmp_path) not in text
            assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
            assert list((tmp_path / "films").iterdir()) == []
            async with server.client.get("/films") as response:
                assert await response.json() == {"films": [], "paintings": []}

    run(work())


def test_ten_gigabytes_are_refused_before_they_come(tmp_path: Path, negative_style: Path) -> None:
    async def work() -> None:
        async with Server(tmp_path, negative_style) as server:
            host, port = server.base.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                f"POST /films?name=a.mp4 HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer "
                f"{server.token}\r\nContent-Length: {10 << 30}\r\n\r\n".encode()
            )
            await writer.drain()
            assert b" 413 " in await asyncio.wait_for(reader.readline(), LONG_S)
            writer.close()

    run(work())


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"style": "x"}', b'{"style": "udnie", "lines": 1}', b"[" * 9999]
)
def test_looks_that_cannot_be_are_refused(
    body: bytes, tmp_path: Path, negative_style: Path, picture: Path
) -> None:
    async def work() -> None:
        async with Server(tmp_path / "web", negative_style) as server:
            film = await upload(server, picture)
            url = f"/films/{film['id']}/paint"
            async with server.client.post(url, data=body) as response:
                assert response.status == 400

    run(work())


@pytest.mark.slow
def test_a_film_is_cancelled_and_painted_again_after_a_restart(
    tmp_path: Path, negative_style: Path, picture: Path
) -> None:
    film = make_film(tmp_path / "film.mp4", size=(320, 240), pts=range(1500))

    async def work() -> None:
        web = tmp_path / "web"
        async with Server(web, negative_style) as server:
            kept = await upload(server, film)
            first = await paint(server, kept)
            second = await paint(server, await upload(server, picture))
            await settled(server, first, RUNNING)
            newest = await newest_frame(server, first)
            assert newest.shape == (180, 240, 3)
            early = f"/films/{kept['id']}/preview?style=starry-night&at=0"
            async with server.client.get(early) as response:
                painted = np.asarray(Image.open(io.BytesIO(await response.read())))
            assert abs(newest.mean((0, 1)) - painted.mean((0, 1))).max() < 15
            async with server.client.post(f"/paintings/{first}/cancel") as response:
                assert response.status == 204
            assert (await settled(server, first, CANCELLED))["done"] < 1
            assert (await settled(server, second, DONE, "failed"))["state"] == DONE
            assert [path.name for path in (web / "paintings" / first).iterdir()] == [
                "painting.json"
            ]
            async with server.client.get(f"/paintings/{first}/file") as response:
                assert response.status == 404
            async with server.client.post(f"/paintings/{first}/again") as response:
                assert response.status == 204
            await settled(server, first, RUNNING)
        killed = web / "films" / "unfinished"
        killed.mkdir()
        (killed / "source.mp4").touch()
        stopped = Library(web)
        assert not killed.exists()
        assert stopped.paintings[first].state == QUEUED
        assert [each.name for each in stopped.films.values()] == ["film.mp4", "scene.png"]
        async with Server(web, negative_style) as server:
            await settled(server, first, RUNNING)
            async with server.client.delete(f"/films/{kept['id']}") as response:
                assert response.status == 204
            assert (await settled(server, first, CANCELLED))["state"] == CANCELLED

    run(work())


def test_a_picture_becomes_a_style_for_films_and_cameras(
    tmp_path: Path, negative_style: Path, picture: Path
) -> None:
    async def work() -> None:
        async with Server(tmp_path / "web", negative_style) as server:

            async def add(name: str, content: bytes) -> tuple[int, str]:
                url = "/styles"
                async with server.client.post(url, params={"name": name}, data=content) as added:
                    text = await added.text()
                    return added.status, (await added.json())["name"] if added.ok else text

            content = picture.read_bytes()
            assert await add("../../my scene.png", content) == (200, "my-scene")
            assert await add("my scene.jpg", content) == (200, "my-scene-2")
            assert await add("udnie.png", content) == (200, "udnie-picture")
            assert await add(".png", content) == (200, "png")
            assert (await add("x.png", b"no picture"))[0] == 415
            assert (await add("x.png", bytes(31 << 20)))[0] == 413
            names = ["my-scene", "my-scene-2", "png", "udnie-picture"]
            async with server.client.get("/styles") as response:
                assert sorted(await response.json()) == names
            assert len(list((tmp_path / "web" / "styles").iterdir())) == 4
            async with server.client.get("/styles/my-scene") as response:
                assert response.content_type == "image/jpeg"
            film = await upload(server, picture)
            async with server.client.get(f"/films/{film['id']}/preview?style=my-scene") as preview:
                assert preview.status == 200, await preview.text()
            async with server.painted(GreyCamera()) as browser:
                assert sorted(browser.statuses[-1]["styles"][-4:]) == names
            for path, status in (("my-scene", 204), ("my-scene", 404), ("..%2fsecret", 404)):
                async with server.client.delete(
                    URL(f"{server.base}/styles/{path}", encoded=True)
                ) as gone:
                    assert gone.status == status

    run(work())


def test_text_is_told_from_media() -> None:
    assert is_text(b"#EXTM3U\r\n\tfile")
    assert is_text(b"")
    assert not is_text(b"\0\0\0\x20ftypisom")
    assert not is_text(b"\x89PNG\r\n")
    assert not is_text("grüße".encode())
