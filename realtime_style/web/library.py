"""The films and pictures that were uploaded, and their paintings, as files in one folder.

    films/ID/film.json, source.mp4         paintings/ID/painting.json, painted.mp4

Names that users give are only shown; no path is ever made of them.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from realtime_style.errors import MediaError
from realtime_style.media.film_source import FileSource
from realtime_style.media.still import PICTURE_SUFFIXES, read_picture
from realtime_style.style.look import Look
from realtime_style.system.paths import make_folder, name_part
from realtime_style.system.whole_file import whole_file

FILM_SUFFIXES = frozenset(
    (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".gif")
)
_NEWEST_NAME = "newest.jpg"
_ID_BYTES = 9
_NAME_LETTERS = 120
_HEAD_BYTES = 4096  # of a file, to tell text from media

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"


@dataclass(frozen=True, slots=True)
class Film:
    """A film or picture that was uploaded.

    Attributes:
        id: names it in addresses, and its folder.
        name: as its user named it; only to be shown.
        file: the name of the file in its folder.
        kind: "film" or "picture".
        size_bytes: of the file.
        width, height: in pixels.
        duration_s: in seconds; 0 for pictures, and where it is unknown.
        rate: frames per second; 0 for pictures.
    """

    id: str
    name: str
    file: str
    kind: str
    size_bytes: int
    width: int
    height: int
    duration_s: float
    rate: float


@dataclass(frozen=True, slots=True)
class Painting:
    """A film or picture that is to be painted, is being painted, or is painted.

    Attributes:
        id: names it in addresses, and its folder.
        film: the id of its film.
        name: what its file is called when it is downloaded.
        look: the look, as `Look.as_dict`.
        stability: flicker reduction, 0..1.
        lines: height to paint at, in pixels; None paints at the film's own.
        state: one of QUEUED, RUNNING, DONE, FAILED, CANCELLED.
        done: the finished part, 0..1.
        fps: frames per second so far.
        left_s: seconds that are left, estimated; None if unknown.
        newest: how often `newest_of` has been written; 0 if there is none.
        size_bytes: of the new file, so far or in the end.
        notes: what changed apart from the painting, or what went wrong, in sentences.
    """

    id: str
    film: str
    name: str
    look: Mapping[str, Any]
    stability: float = 0.0
    lines: int | None = None
    state: str = QUEUED
    done: float = 0.0
    fps: float = 0.0
    left_s: float | None = None
    newest: int = 0
    size_bytes: int = 0
    notes: tuple[str, ...] = field(default=())


class Library:
    """All films and paintings. Not thread-safe, but for `read_film`.

    Attributes:
        folder: where all of it is.
        films, paintings: by id, oldest first.
    """

    def __init__(self, folder: Path) -> None:
        """Reads what is there; what was being painted is queued again.

        Raises:
            MediaError: the folder cannot be made.
        """
        self.folder = folder
        self._films, self._paintings = folder / "films", folder / "paintings"
        for each in (self._films, self._paintings):
            make_folder(each)
        self.films: dict[str, Film] = {}
        self.paintings: dict[str, Painting] = {}
        for unfinished in self._films.iterdir():  # uploads of a server that was killed
            if not (unfinished / "film.json").is_file():
                shutil.rmtree(unfinished, ignore_errors=True)
        for values in _stored(self._films, "film.json"):
            film = Film(**values)
            self.films[film.id] = film
        for values in _stored(self._paintings, "painting.json"):
            painting = Painting(**values | {"notes": tuple(values["notes"])})
            if painting.state == RUNNING:
                painting = replace(painting, state=QUEUED, done=0.0, left_s=None, newest=0)
            if painting.film in self.films:
                self.paintings[painting.id] = painting

    # Films ------------------------------------------------------------------------------------

    def new_upload(self, name: str) -> tuple[str, Path]:
        """The id of a new film, and the file to write it to.

        Raises:
            MediaError: the ending of its name is not one of a film or picture.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in FILM_SUFFIXES | PICTURE_SUFFIXES:
            known = ", ".join(sorted(FILM_SUFFIXES | PICTURE_SUFFIXES))
            raise MediaError(f"'{suffix or name[-20:]}' is no film or picture; it must be {known}")
        film_id = secrets.token_urlsafe(_ID_BYTES)
        folder = self._films / film_id
        folder.mkdir()
        return film_id, folder / f"source{suffix}"

    def read_film(self, film_id: str, name: str, path: Path) -> Film:
        """Reads what an uploaded file is; called on any thread.

        Raises:
            MediaError: it is neither a film nor a picture.
        """
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if is_text(head):  # such as a playlist, which would make FFmpeg open other files
            raise MediaError("this is a text, not a film or picture")
        shown = " ".join(name.split())[-_NAME_LETTERS:]
        try:
            return self._described(film_id, shown, path)
        except MediaError as error:
            raise MediaError(str(error).replace(str(path), shown)) from error

    def _described(self, film_id: str, shown: str, path: Path) -> Film:
        common, size = (film_id, shown, path.name), path.stat().st_size
        if path.suffix in PICTURE_SUFFIXES:
            height, width = read_picture(path).rgb.shape[:2]
            return Film(*common, "picture", size, width, height, 0.0, 0.0)
        with FileSource(str(path)) as source:
            info = source.info
        seconds = float(info.duration_s or 0)
        return Film(*common, "film", size, info.width, info.height, seconds, float(info.rate))

    def add_film(self, film: Film) -> None:
        """Keeps an uploaded film."""
        self.films[film.id] = film
        _store(self._films / film.id / "film.json", asdict(film))

    def drop_upload(self, film_id: str) -> None:
        """Removes what was uploaded, if it did not become a film."""
        shutil.rmtree(self._films / film_id, ignore_errors=True)

    def remove_film(self, film_id: str) -> None:
        """Removes a film; its paintings stay, but cannot be painted again."""
        del self.films[film_id]
        shutil.rmtree(self._films / film_id, ignore_errors=True)

    def path_of(self, film: Film) -> Path:
        """The file of a film."""
        return self._films / film.id / film.file

    # Paintings --------------------------------------------------------------------------------

    def add_painting(self, film: Film, look: Look, stability: float, lines: int | None) -> Painting:
        """Queues a film to be painted.

        Raises:
            StyleFileError: the look holds an opened style.
        """
        painting = new_painting(film, look, stability, lines)
        (self._paintings / painting.id).mkdir()
        self.update(painting)
        return painting

    def update(self, painting: Painting) -> None:
        """Keeps a new state of a painting; on disk only where its `state` is new."""
        former = self.paintings.get(painting.id)
        self.paintings[painting.id] = painting
        if former is None or former.state != painting.state:
            _store(self._paintings / painting.id / "painting.json", asdict(painting))

    def out_of(self, painting: Painting) -> Path:
        """The file of a painting; it exists once it is done."""
        return self._paintings / painting.id / f"painted{Path(painting.name).suffix}"

    def newest_of(self, painting: Painting) -> Path:
        """The newest painted frame, a small picture; exists while a film is being painted."""
        return self._paintings / painting.id / _NEWEST_NAME

    def clear(self, painting: Painting, *, keeps_segments: bool) -> None:
        """Removes the files of a painting that was not completed.

        Args:
            keeps_segments: whether the finished segments of a long film stay, to go on with.
        """
        for path in (self._paintings / painting.id).iterdir():
            if path.is_dir() and not keeps_segments:
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_file() and path.name != "painting.json":
                path.unlink(missing_ok=True)

    def remove_painting(self, painting: Painting) -> None:
        """Removes a painting and its file."""
        del self.paintings[painting.id]
        shutil.rmtree(self._paintings / painting.id, ignore_errors=True)


def new_painting(film: Film, look: Look, stability: float, lines: int | None) -> Painting:
    """A painting that no library knows yet; raises StyleFileError if the look holds a style."""
    style = name_part(Path(str(look.style)).stem)
    name = f"{Path(film.name).stem}-{style}{_new_suffix(film)}"
    plain = look.as_dict()
    return Painting(secrets.token_urlsafe(_ID_BYTES), film.id, name, plain, stability, lines)


def is_text(head: bytes) -> bool:
    """Whether the beginning of a file is text, as playlists are, and no film or picture is."""
    return not any(byte < 9 or 13 < byte < 32 or byte > 126 for byte in head)


def _new_suffix(film: Film) -> str:
    """The ending of a painting: the film's own where browsers play it, else .mp4."""
    suffix = Path(film.file).suffix
    if film.kind == "picture":
        return suffix if suffix in (".jpg", ".jpeg", ".png", ".webp") else ".png"
    return suffix if suffix in (".mp4", ".webm", ".mov", ".mkv") else ".mp4"


def _stored(folder: Path, name: str) -> list[dict[str, Any]]:
    """The contents of all files of a name, oldest first; damaged ones are left out."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob(f"*/{name}"), key=lambda path: path.stat().st_mtime):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(values, dict) and values.get("id") == path.parent.name:
            found.append(values)
    return found


def _store(path: Path, values: dict[str, Any]) -> None:
    with whole_file(path) as partial:
        partial.write_text(json.dumps(values), encoding="utf-8")
