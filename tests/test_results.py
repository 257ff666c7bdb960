"""What benchmarks make of their runs, and the tables of the README and the documentation."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import re
import shlex
import sys
from pathlib import Path

import frame_rate
import latency
import pixels
import pytest
import readme
import record

import realtime_style

SCRIPTS = {path.stem for path in readme.ROOT.glob("benchmarks/*.py")}
SHARED = {"painters", "peers", "quiet", "record", "scenes"}  # imported by scripts
QUALITY = "docs/quality.md"


@pytest.mark.parametrize("script", sorted(SCRIPTS - SHARED))
def test_every_script_has_help_that_states_its_purpose(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="the extra [train] is not installed")
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--help"])
    module = importlib.import_module(script)
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"usage: {script}.py" in shown
    assert " ".join(module.__doc__.splitlines()[0].split()) in shown


def test_errors_that_users_can_fix_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^error: .*nofile"):
        record.run(lambda: print((tmp_path / "nofile").read_text()))


def test_a_machine_is_described_by_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"onnxruntime-gpu": "1.31.1", "tensorrt": "10.13"}
    monkeypatch.setattr(record, "version_of", installed.get)
    found = record.machine()
    assert found.items() >= installed.items()
    assert "onnxruntime" not in found
    assert found["realtime-style"] == realtime_style.__version__


@pytest.mark.parametrize("page", readme.PAGES)
def test_every_page_says_what_was_measured(page: str) -> None:
    text = (readme.ROOT / page).read_text()
    assert readme.filled(text, page) == text, "run python benchmarks/readme.py"


def test_every_marked_table_of_the_documentation_is_filled() -> None:
    pages = [readme.ROOT / "README.md", *readme.ROOT.glob("docs/**/*.md")]
    marked = {
        (page.relative_to(readme.ROOT).as_posix(), name)
        for page in pages
        for name in re.findall(r"<!-- figures: (.+?) -->", page.read_text())
    }
    assert marked == set(readme.PAGES.items())
    assert {name for _, name in marked} == set(readme.TABLES)


def test_a_wrong_figure_is_replaced() -> None:
    text = (readme.ROOT / QUALITY).read_text()
    wrong = text.replace("| candy | 1.000 |", "| candy | 2.000 |")
    assert wrong != text
    assert readme.filled(wrong, QUALITY) == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("| candy | 1.000 |", "| candy | 2.000 |"),
            r"says '\| candy \| 2.000 .* the results say ",
        ),
        (
            ("| candy | 1.000 |", "| more |\n| candy | 1.000 |"),
            r"says '\| more \|' where the results",
        ),
    ],
)
def test_a_page_that_differs_from_the_results_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], message: str
) -> None:
    for page in readme.PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text((readme.ROOT / page).read_text())
    text = (readme.ROOT / QUALITY).read_text()
    assert change[0] in text
    monkeypatch.setattr(readme, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["readme.py", "--check"])
    readme.main()
    (tmp_path / QUALITY).write_text(text.replace(*change))
    with pytest.raises(SystemExit, match=f"^error: {QUALITY} {message}"):
        readme.main()
    monkeypatch.setattr(sys, "argv", ["readme.py"])
    readme.main()
    assert (tmp_path / QUALITY).read_text() == text


def test_a_page_without_a_place_for_its_table_is_refused() -> None:
    with pytest.raises(SystemExit, match="has no place for the table 'quality'"):
        readme.filled("# realtime-style", QUALITY)


def test_runs_are_merged_by_median_and_longest_wait() -> None:
    runs = [
        {"p50_ms": 12.0, "p99_ms": 30.0, "changes": 2, "change_median_ms": 150.0,
         "change_most_ms": 160.0, "dropped": 1},
        {"p50_ms": 10.0, "p99_ms": 20.0, "changes": 3, "change_median_ms": 160.0,
         "change_most_ms": 170.0, "dropped": 2},
        {"p50_ms": 11.0, "p99_ms": 90.0, "changes": 1, "change_median_ms": 190.0,
         "change_most_ms": 190.0, "dropped": 3},
    ]  # fmt: skip
    row = latency.merged(runs)
    assert (row["p50_ms"], row["p99_ms"], row["dropped"]) == (11.0, 30.0, 3)
    assert row["p50_ms_of_runs"] == [12.0, 10.0, 11.0]
    assert (row["changes"], row["change_median_ms"], row["change_most_ms"]) == (6, 160.0, 190.0)


def test_a_line_is_fitted_through_times_by_pixels() -> None:
    rows = [
        {"tier": "fast", "pixels": pixels_, "ms": 2 + 10 * pixels_ / 1e6}
        for pixels_ in (230_400, 921_600, 2_073_600, 8_294_400)
    ]
    fit = pixels.line("fast", rows)
    assert (fit["ms_per_megapixel"], fit["start_ms"]) == (10, 2)
    assert fit["largest_residual_percent"] == 0
    rows[1]["ms"] *= 1.2
    assert pixels.line("fast", rows)["largest_residual_percent"] > 8


def test_a_result_is_written_as_numbers_table_and_plot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path / "new")
    assert record.rows_of("marks") == []
    result = {"machine": record.machine(), "rows": [{"name": "a", "ms": 1.5}]}
    record.keep("marks", result, "| a |\n", lambda file: file.write_bytes(b"png"))
    assert record.rows_of("marks") == [{"name": "a", "ms": 1.5}]
    assert json.loads((tmp_path / "new/marks.json").read_text())["machine"]["cores"]
    assert (tmp_path / "new/marks.md").read_text() == "| a |\n"
    assert (tmp_path / "new/marks.png").read_bytes() == b"png"
    record.keep("marks", result | {"rows": []}, "", folder=tmp_path / "mine/too")
    assert record.rows_of("marks", tmp_path / "mine/too") == []
    assert record.rows_of("marks") == [{"name": "a", "ms": 1.5}]


def test_wrong_arguments_are_refused_in_words() -> None:
    assert record.counted("3") == 3
    for text in ("0", "-1", "many"):
        with pytest.raises(argparse.ArgumentTypeError, match="at least 1"):
            record.counted(text)
    assert [frame_rate.watched(text) for text in ("0", "101")] == [0, 101]
    for text in ("-1", "1", "100", "many"):
        with pytest.raises(argparse.ArgumentTypeError, match="0 or a number above 100"):
            frame_rate.watched(text)
    assert str(record.sized("720p")) == "720p"
    with pytest.raises(argparse.ArgumentTypeError, match="out of range"):
        record.sized("7p")


def test_a_card_has_the_figures_of_the_default_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the extra [train] is not installed")
    import cards

    rows = [
        {"name": f"{name}, stability 0.5{more}", "short": short, "of_film_short": 0.04}
        for name, more, short in (
            ("udnie", "", 0.05), ("udnie", ", int8", 0.06), ("udnie, fast", "", 0.07),
        )
    ]  # fmt: skip
    monkeypatch.setattr(cards, "rows_of", lambda name: rows if name == "stability" else [])
    assert cards.figures_of("udnie") == {"warping_error": 0.05, "warping_error_of_film": 0.04}


def test_documented_calls_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the extra [train] is not installed")
    import stability

    for name in ("starry.jpg", "candy.jpg", "candy.onnx"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    taken: list[str] = []

    def marks(*_: object) -> None:
        taken.append("marks")
        raise SystemExit

    monkeypatch.setattr(stability, "read_clip", marks)
    for name in ("side_by_side", "costs"):
        monkeypatch.setattr(stability, name, lambda _, name=name: taken.append(name))
    calls = [line for line in stability.__doc__.splitlines() if line.startswith("    python ")]
    for call in calls:
        monkeypatch.setattr(sys, "argv", shlex.split(call.removesuffix(" ..."))[1:])
        with contextlib.suppress(SystemExit):
            stability.main()
    assert taken == ["marks", "marks", "side_by_side", "costs"]
