"""One command for many files: paints one after the other, and reports on all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from realtime_style.cli import console
from realtime_style.cli.console import Output, Stopped
from realtime_style.system import interrupts
from realtime_style.system.paths import is_numbered
from realtime_style.wording import counted, source_name

if TYPE_CHECKING:
    from realtime_style.jobs.batch import Pair, Pairing


def inputs_and_out(paths: Sequence[str]) -> tuple[list[str], str]:
    """The inputs and the output of a command line that ends with the output."""
    if len(paths) < 2:
        raise typer.BadParameter(
            "give at least one IN, and OUT as the last", param_hint="IN... OUT"
        )
    if not all(paths):
        raise typer.BadParameter("one of them is empty", param_hint="IN... OUT")
    return list(paths[:-1]), paths[-1]


def refuse_film(names: Iterable[str]) -> None:
    """Raises BadParameter for a film that is given as a picture, MediaError for a broken one."""
    from realtime_style.jobs.batch import FILM_SUFFIXES, READ_ONLY_FILM_SUFFIXES

    films = (FILM_SUFFIXES | READ_ONLY_FILM_SUFFIXES) - _picture_suffixes()
    for name in names:
        if _suffix(name) in films and Path(name).is_file() and not _is_picture(name):
            from realtime_style.media.demuxer import open_film

            open_film(name).close()
            raise typer.BadParameter(
                f"{name} is a film; paint it with `realtime-style video`, or some of its frames "
                "with --sample there"
            )


def refuse_picture(source: str, out: str) -> None:
    """Raises BadParameter for a picture that is to become another, which `video` does not do."""
    is_picture = _suffix(source) in _picture_suffixes() and Path(source).is_file()
    if is_picture and _suffix(out) in _picture_suffixes() and not is_numbered(out):
        from realtime_style.jobs.batch import FILM_SUFFIXES

        is_one = _suffix(out) not in FILM_SUFFIXES and not Path(out).is_dir()
        if is_one and not _moves(source):
            raise typer.BadParameter(f"{source} is a picture; paint it with `realtime-style image`")


def _is_picture(name: str) -> bool:
    from realtime_style.media.still import is_picture

    return is_picture(name)


def _moves(name: str) -> bool:
    from realtime_style.media.still import moves

    return moves(name)


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _picture_suffixes() -> frozenset[str]:
    from realtime_style.media.still import PICTURE_SUFFIXES, READ_ONLY_PICTURE_SUFFIXES

    return PICTURE_SUFFIXES | READ_ONLY_PICTURE_SUFFIXES


@dataclass
class Batch:
    """What has become of the files so far; a context manager that reports Ctrl-C.

    Entered before anything is loaded: wherever Ctrl-C comes, `--json` gets its summary.

    Attributes:
        out: where the next file goes.
        skip_existing: whether files that are there already are left as they are.
        total: how many files there are.
        pairs: the files to paint, see `expect`.
    """

    output: Output
    out: str
    total: int = 1
    skip_existing: bool = False
    pairs: Sequence[Pair] = ()
    painted: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)
    _began_s: float = 0.0
    _efforts: list[float] = field(default_factory=list)  # of the pairs: how long each takes
    _done: int = 0

    def expect(
        self, pairing: Pairing, effort_of: Callable[[str], float | None] = lambda source: None
    ) -> None:
        """Sets the files that `run` paints, and says which are left alone.

        Args:
            effort_of: see `jobs.effort`; None takes all for equal.
        """
        from realtime_style.jobs.batch import names_of
        from realtime_style.jobs.effort import efforts

        self.pairs, self.total = pairing.pairs, len(pairing.pairs)
        if pairing.skipped:
            files = counted(len(pairing.skipped), "file")
            self.output.say(f"note: {files} skipped: {names_of(pairing.skipped)}")
        if self.skip_existing:
            self.existing = [str(pair.out) for pair in self.pairs if pair.is_there]
            self.pairs = [pair for pair in self.pairs if not pair.is_there]
        if self.existing and self.total > 1:
            exist = "exists" if len(self.existing) == 1 else "exist"
            self.output.say(f"{len(self.existing)} of {self.total} {exist} already")
        elif self.existing:
            self.output.say(f"{self.existing[0]} exists already")
        if self.total > 1:
            self._efforts = efforts([pair.source for pair in self.pairs], effort_of)

    @property
    def place(self) -> str:
        """Which of several files is being painted, such as "2 of 40"; empty if there is one."""
        number = len(self.existing) + self._done + 1
        return f"{number} of {self.total}" if self.total > 1 else ""

    def left(self, before: str, part: float = 0.0) -> str:
        """How long several files will still take, such as "3:05 min left for all".

        Args:
            before: what to put before it; if there is no telling yet, nothing is returned.
            part: how much of the current file is done, 0..1.
        """
        current = self._efforts[self._done : self._done + 1]
        done = sum(self._efforts[: self._done]) + part * sum(current)
        if not 0 < done < sum(self._efforts):
            return ""
        taken_s = time.perf_counter() - self._began_s
        left_s = taken_s * (sum(self._efforts) / done - 1)
        return f"{before}{console.duration(left_s)} left for all"

    def run(
        self,
        paint: Callable[[Pair], dict[str, Any]],
        tell: Callable[[dict[str, Any]], None] = lambda report: None,
        *,
        announces: bool = True,
    ) -> None:
        """Paints every pair; a failure does not stop the rest, but sets the exit status.

        With several pairs, that holds for every error, also for those of this program.

        Args:
            paint: paints one, and returns its part of the JSON summary.
            tell: prints the same in words. Called once it is counted: what was printed is in the
                summary even if Ctrl-C follows at once.
            announces: whether to say which of several files is next.

        Raises:
            StyleError: the only pair failed.
            typer.Exit: some of several failed.
        """
        from realtime_style.system.paths import make_folder

        self._began_s = time.perf_counter()
        for number, pair in enumerate(self.pairs):
            self.out, self._done = str(pair.out), number
            interrupts.check()
            if announces and self.total > 1:
                self.output.say(f"{self.place}: {source_name(pair.source)}{self.left('; about ')}")
            try:
                if pair.makes_folder:
                    make_folder(pair.out.parent)
                self.painted.append(paint(pair))
                tell(self.painted[-1])
            except Exception as error:  # the other files are not at fault
                if self.total == 1 or interrupts.came():
                    raise
                self._fail(pair, error)
        interrupts.ignore()  # all is done
        if self.total > 1:
            taken = console.duration(time.perf_counter() - self._began_s)
            existed = f", {len(self.existing)} existed already" if self.existing else ""
            self.output.say(f"{len(self.painted)} of {self.total} painted in {taken}{existed}")
        self._summarize()
        if self.failed:
            raise typer.Exit(1)

    def _fail(self, pair: Pair, error: Exception) -> None:
        """Counts a file that could not be painted, and says why, in one line that names it."""
        reason = console.reason_of(error)
        if reason is None:
            reason = f"unexpected error: {' '.join(f'{type(error).__name__}: {error}'.split())}"
        name = source_name(pair.source)
        if not any(each in reason for each in (name, str(pair.out))):
            reason = f"{name}: {reason}"
        self.failed.append({"in": pair.source, "error": reason})
        console.print_error(reason)

    def _summarize(self, stopped: dict[str, Any] | None = None) -> None:
        existing = {"existing": self.existing} if self.skip_existing else {}
        if self.total > 1:
            many: dict[str, Any] = {"painted": self.painted, "failed": self.failed} | existing
            self.output.json(many | {"stopped": stopped} if stopped else many)
        else:
            self.output.json(stopped or (self.painted[0] if self.painted else existing))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if error is None or not (interrupts.came() or isinstance(error, KeyboardInterrupt)):
            return
        interrupts.ignore()  # what could be kept is kept
        stop = error if isinstance(error, Stopped) else None
        if stop is None:
            stop = Stopped({"stopped": self.out, "kept": None})
            painted = f"; painted: {len(self.painted)} of {self.total}" if self.total > 1 else ""
            console.print_line(f"stopped{painted}")
        self._summarize(stop.report)
        raise stop from None
