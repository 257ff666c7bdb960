"""One command for many files: paints one after the other, and reports on all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from realtime_style.cli import console
from realtime_style.cli.console import Output, Stopped
from realtime_style.errors import StyleError
from realtime_style.system import interrupts

if TYPE_CHECKING:
    from realtime_style.jobs.batch import Pair


def inputs_and_out(paths: Sequence[str]) -> tuple[list[str], str]:
    """The inputs and the output of a command line that ends with the output."""
    if len(paths) < 2:
        raise typer.BadParameter(
            "give at least one IN, and OUT as the last", param_hint="IN... OUT"
        )
    if not all(paths):
        raise typer.BadParameter("one of them is empty", param_hint="IN... OUT")
    return list(paths[:-1]), paths[-1]


@dataclass
class Batch:
    """What has become of the files so far; a context manager that reports Ctrl-C.

    Entered before anything is loaded: wherever Ctrl-C comes, `--json` gets its summary.

    Attributes:
        out: where the next file goes.
        total: how many files there are.
        pairs: the files to paint, see `expect`.
    """

    output: Output
    out: str
    total: int = 1
    pairs: Sequence[Pair] = ()
    painted: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)

    def expect(self, pairs: Sequence[Pair]) -> None:
        """Sets the files that `run` paints; from here on, reports count them."""
        self.pairs, self.total = pairs, len(pairs)

    def run(
        self,
        paint: Callable[[Pair], dict[str, Any]],
        tell: Callable[[dict[str, Any]], None] = lambda report: None,
    ) -> None:
        """Paints every pair; a failure does not stop the rest, but sets the exit status.

        Args:
            paint: paints one, and returns its part of the JSON summary.
            tell: prints the same in words. Called once it is counted: what was printed is in the
                summary even if Ctrl-C follows at once.

        Raises:
            StyleError: the only pair failed.
            typer.Exit: some of several failed.
        """
        from realtime_style.system.paths import make_folder

        for pair in self.pairs:
            self.out = str(pair.out)
            interrupts.check()
            try:
                if pair.makes_folder:
                    make_folder(pair.out.parent)
                self.painted.append(paint(pair))
                tell(self.painted[-1])
            except StyleError as error:
                if self.total == 1:
                    raise
                self.failed.append({"in": pair.source, "error": console.sentence(error)})
                console.print_error(console.sentence(error))
        if self.total > 1:
            self.output.say(f"{len(self.painted)} of {self.total} painted")
        self._summarize()
        if self.failed:
            raise typer.Exit(1)

    def _summarize(self, stopped: dict[str, Any] | None = None) -> None:
        if self.total > 1:
            many: dict[str, Any] = {"painted": self.painted, "failed": self.failed}
            self.output.json(many | {"stopped": stopped} if stopped else many)
        else:
            self.output.json(stopped or self.painted[0])

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
