"""The documentation builds without warnings; its links, commands and options exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from generated import commands

from realtime_style.live.window_front_end import KEYS

ROOT = Path(__file__).resolve().parents[1]
# Sphinx checks the links of its own pages; these are read on their own.
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"]


@pytest.mark.slow
def test_the_documentation_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the extra [docs] is not installed")
    pytest.importorskip("furo", reason="the extra [docs] is not installed")
    pytest.importorskip("myst_parser", reason="the extra [docs] is not installed")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", ROOT / "docs", tmp_path],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert built.returncode == 0, built.stderr
    commands = (tmp_path / "commands.html").read_text()
    assert "realtime-style engine build [OPTIONS]" in commands
    assert "--style-image" in commands
    architecture = (tmp_path / "architecture.html").read_text()
    assert "realtime_style/stages.py" in architecture
    assert "build_painter" in (tmp_path / "library.html").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    files = [link for link in links if "://" not in link]
    missing = [link for link in files if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing


def test_the_architecture_names_every_floor() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    table = text[text.index("| floor |") : text.index("## The data's way")]
    named = set(re.findall(r"`([\w./]+)`", "\n".join(re.findall(r"^\|([^|]+)\|", table, re.M))))
    package = ROOT / "realtime_style"
    rooms = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")} | {"export/"}
    files = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    assert named == rooms | files


def test_command_lines_in_the_documentation_have_options_that_exist() -> None:
    pages = [ROOT / page for page in PAGES if page != "CHANGELOG.md"]
    pages += [page for page in sorted(ROOT.glob("docs/**/*.md")) if page.name != "results.md"]
    lines = 0
    for page in pages:
        blocks = re.findall(r"```bash\n(.+?)```", page.read_text(), re.S)
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            if not line.startswith("realtime-style "):
                continue
            words = shlex.split(line, comments=True)[1:]
            name = next(name for name in (" ".join(words[:2]), words[0]) if name in commands())
            known = {flag for option in commands()[name].params for flag in option.opts}
            unknown = {word for word in words if word.startswith("--")} - known
            assert not unknown, f"{page.name}: {line}"
            lines += 1
    assert lines > 20


def test_options_named_in_the_guides_exist() -> None:
    params = [param for command in commands().values() for param in command.params]
    known = {flag for param in params for flag in param.opts}
    others = {"--index-url", "--nproc-per-node", "--logdir"}  # of pip, torchrun and tensorboard
    pages = sorted(ROOT.glob("docs/guides/*.md"))
    assert len(pages) > 3
    for page in pages:
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text()))
        scripts = {"--clip"} if page.name == "styles.md" else set()  # of benchmarks/sheet.py
        assert named <= known | others | scripts, page.name


def test_the_guide_names_every_key_of_the_window() -> None:
    table = (ROOT / "docs/guides/live.md").read_text().partition("| key in the window |")[2]
    first_column = "\n".join(re.findall(r"^\|([^|]+)\|", table.partition("## Sources")[0], re.M))
    named = set(re.findall(r"`(.)`", first_column))
    assert "| space |" in table
    others = {"=", "escape", " ", *"2345678"}  # Shift's other half of +; in words; from 1 to 9
    assert named == set(KEYS) - others
