"""A Sphinx extension: fills marked places of the pages from the code, each time they are built.

A marker is an HTML comment alone on its line:

    <!-- commands -->       a list of all commands, then usage, help and options of each
    <!-- modules -->        one row per module: its path and the summary of its docstring
    <!-- public names -->   one row per name that `import realtime_style` offers

Nothing is copied by hand, so the pages cannot differ from the program.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("realtime_style", "export")
_MARKER = re.compile(r"^<!-- (commands|modules|public names) -->$", re.M)


def filled(text: str) -> str:
    """Returns a page with every marker replaced."""
    return _MARKER.sub(lambda found: _TABLES[found[1]](), text)


@cache
def commands() -> dict[str, Any]:
    """All commands by name, those of groups as "group command", as Typer's Click objects."""
    from typer.main import get_command

    from realtime_style.cli.app import app

    def below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        if not hasattr(command, "commands"):
            yield name, command
            return
        for each, one in command.commands.items():
            yield from below(f"{name} {each}".strip(), one)

    return dict(below("", get_command(app)))


def command_page(name: str) -> str:
    """Usage, help and options of a command, in Markdown; options in the groups of its help."""
    command = commands()[name]
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = " ".join(_argument(each) for each in shown if each.param_type_name == "argument")
    parts = [f"```text\nrealtime-style {name} [OPTIONS] {arguments}".rstrip() + "\n```"]
    parts.append(_help_text(command))
    groups: dict[str, list[str]] = {}
    for each in shown:
        is_option = each.param_type_name == "option"
        group = getattr(each, "rich_help_panel", None) or ("Options" if is_option else "Arguments")
        named = _flags(each) if is_option else _code(_argument(each))
        groups.setdefault(group, []).append(f"| {named} | {_cell(each.help)}{_default(each)} |")
    for group, rows in groups.items():
        parts.append("\n".join([f"| {group} | |", "|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part)


def _argument(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _help_text(command: Any) -> str:
    """The command's help; lines that begin with the program's name become a block of examples."""
    text = inspect.cleandoc(command.help or "").replace("\b", "").replace("\f", "")
    epilog = inspect.cleandoc(getattr(command, "epilog", None) or "").replace("\b", "")
    kept: list[str] = []
    for block in re.split(r"\n\s*\n", f"{text}\n\n{epilog}".strip()):
        lines = [line.strip() for line in block.splitlines()]
        examples = [line for line in lines if line.startswith(("realtime-style ", "$ "))]
        prose = " ".join(line for line in lines if line not in examples)
        kept += [prose] if prose else []
        kept += ["```bash\n" + "\n".join(examples) + "\n```"] if examples else []
    return "\n\n".join(kept)


def _flags(option: Any) -> str:
    """An option's names, and what its value is called where that says more than its name."""
    value = f" {option.metavar}" if option.metavar else ""
    return ", ".join(_code(flag + value) for flag in sorted(option.opts, key=len, reverse=True))


def _default(option: Any) -> str:
    """The default as a sentence, where there is one to show."""
    value = option.default
    is_shown = getattr(option, "show_default", False) and option.param_type_name == "option"
    if not is_shown or callable(value) or value in (None, "") or isinstance(value, bool | list):
        return ""
    if "default" in (option.help or "").lower():  # the help names it in words
        return ""
    return f" Default: `{value:g}`." if isinstance(value, float) else f" Default: `{value}`."


def _code(text: str) -> str:
    return "`" + text.replace("|", r"\|") + "`"


def _summary(docstring: str | None) -> str:
    """The first paragraph of a docstring, for a table's cell."""
    return _cell(inspect.cleandoc(docstring or "").split("\n\n")[0])


def _cell(text: str | None) -> str:
    """Text that may stand in a table's cell."""
    return " ".join((text or "").split()).replace("|", r"\|").replace("<", r"\<")


def command_pages() -> str:
    """A list of all commands, then a section for each."""
    rows = [
        f"| [`{name}`](#{name.replace(' ', '-')}) | {_summary(command.help)} |"
        for name, command in commands().items()
    ]
    sections = [f"## {name}\n\n{command_page(name)}" for name in commands()]
    return "\n\n".join(["\n".join(["| command | does |", "|---|---|", *rows]), *sections])


def _module_rows() -> str:
    """Modules in the order of their paths, with the first line of each docstring."""
    rows = []
    for path in modules():
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        name = path.relative_to(ROOT).as_posix()
        rows.append(f"| `{name}` | {_summary(docstring)} |")
    return "\n".join(["| module | purpose |", "|---|---|", *rows])


def modules() -> list[Path]:
    """All modules of the two packages, but no `__init__.py` below their roots."""
    found = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
    return [path for path in found if path.name != "__init__.py" or path.parent.parent == ROOT]


def _public_rows() -> str:
    import realtime_style

    rows = []
    for name in realtime_style.__all__:
        if not name.startswith("__"):
            docstring = inspect.getdoc(getattr(realtime_style, name)) or ""
            rows.append(f"| `{name}` | {_summary(docstring)} |")
    return "\n".join(["| name | purpose |", "|---|---|", *rows])


_TABLES: dict[str, Callable[[], str]] = {
    "commands": command_pages,
    "modules": _module_rows,
    "public names": _public_rows,
}


def setup(app: Any) -> dict[str, bool]:
    """Registers the extension with Sphinx."""

    def fill(app: Any, name: str, source: list[str]) -> None:
        source[0] = filled(source[0])

    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
