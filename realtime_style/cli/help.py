"""Help pages: options in groups and plain words, without the type names that Typer adds."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_WIDEST_NAMES = 32  # columns; longer names have their text in the line below
_OTHER = "Other"

Row = tuple[str, str]


def examples(*commands: str) -> str:
    """The examples at the end of a help page, one a line, with "realtime-style" put before each."""
    return "\n".join(f"realtime-style {command}" for command in commands)


class Command(TyperCommand):
    """A command whose help page shows its options in groups, and examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes usage, description, options and examples."""
        _write_top(self, ctx, formatter)
        for name, rows in option_groups(self, ctx).items():
            with formatter.section(title(name)):
                formatter.write_dl(rows, col_max=_WIDEST_NAMES)
        _write_examples(self, formatter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What the usage line shows after the command's name: [OPTIONS] and the arguments."""
        arguments = [param for param in self.params if param.param_type_name == "argument"]
        words = [(str(getattr(param, "metavar", "")), param.required) for param in arguments]
        return ["[OPTIONS]", *(word if needed else f"[{word}]" for word, needed in words)]


class Group(TyperGroup):
    """Commands under one name; its help page lists them in the order in which they were added."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes usage, description, commands, options and examples."""
        _write_top(self, ctx, formatter)
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert command
            rows.append((name, _first_paragraph(command.help or "")))
        with formatter.section(title("Commands")):
            formatter.write_dl(rows, col_max=_WIDEST_NAMES)
        for section, options in option_groups(self, ctx).items():
            with formatter.section(title(section)):
                formatter.write_dl(options, col_max=_WIDEST_NAMES)
        _write_examples(self, formatter)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of registration: the most used come first."""
        return list(self.commands)


def option_groups(command: Any, ctx: Any) -> dict[str, list[Row]]:
    """Arguments and options of a command, by help section: pairs of (names, description)."""
    groups: dict[str, list[Row]] = {}
    others: list[Row] = []
    for param in command.get_params(ctx):
        if getattr(param, "hidden", False):
            continue
        if param.param_type_name == "argument":
            group, names = groups.setdefault("Arguments", []), param.metavar
        else:
            section = getattr(param, "rich_help_panel", None)
            group = groups.setdefault(section, []) if section else others
            names = ", ".join(sorted(param.opts, key=len, reverse=True))
            names += f" {param.metavar}" if param.metavar else ""
        group.append((names, _text(param)))
    if others:
        groups[_OTHER] = others
    return groups


def _text(param: Any) -> str:
    text = param.help or ""
    default = param.default
    if default is None or isinstance(default, bool) or "default" in text:
        return text
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    return f"{text} (default: {shown})"


def _write_top(command: Any, ctx: Any, formatter: Any) -> None:
    command.format_usage(ctx, formatter)
    for paragraph in (command.help or "").split("\n\n"):
        formatter.write_paragraph()
        formatter.write_text(" ".join(paragraph.split()))


def _write_examples(command: Any, formatter: Any) -> None:
    with formatter.section(title("Examples")):
        for line in (command.epilog or "").splitlines():
            formatter.write(f"  {line}\n")


def _first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def title(text: str) -> str:
    """The title of a section, in bold where the terminal can show that."""
    is_plain = "NO_COLOR" in os.environ or os.environ.get("TERM") in ("dumb", "unknown")
    return text if is_plain else typer.style(text, bold=True)
