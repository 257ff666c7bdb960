"""Blind choice between painted pictures: makes sheets for judges, and evaluates their answers.

    python benchmarks/blind.py make DATA FOLDER KEY.json FIRST,SECOND=PAINTING ... [--height 720]
    python benchmarks/blind.py read KEY.json ANSWERS.csv ...

`make` paints every scene of scenes.py with two networks (named as for quality.py) and writes one
sheet per pair to FOLDER: photo and painting above, A and B below. Sides are random, and every pair
appears twice, with its sides swapped. One sheet in ten is a catch: one of its sides is the photo
with only the painting's colours. `--html` adds a page that shows the sheets and saves the answers.
Judges get FOLDER with its instruction.txt, which contains no names. KEY says what A and B are: keep
it from judges, and tell them no more than the instruction does.

`read` combines the answers with the key. For each question it prints the first network's share of
the wins (a tie is half a win) with a 95 % interval by bootstrap over scenes, Bradley-Terry
strengths where several networks paint one painting, how many swapped pairs were answered the same,
and how many catches were noticed.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from quality import COLORS, Painter
from record import run
from scenes import HEIGHTS, network_painter, scenes

QUESTIONS = {
    "hand": "In which is the painter's hand stronger? (The painting is at the top right.)",
    "read": "In which is the subject easier to read? (The photo is at the top left.)",
    "hang": "Which would you rather hang on your wall?",
}
INSTRUCTION = """\
You see sheets of painted pictures. On each sheet the top row shows a photo (left) and a painting
(right). Below, marked A and B, the photo was painted twice by two different methods, which tried
to paint it in the manner of that painting. Look at A and B at full size, not only at the small
sheet. Answer three questions for each sheet, each by itself, with A, B, or = for a tie:

hand  {hand}
read  {read}
hang  {hang}

Judge what you see; do not look for patterns in sides or order, and do not look up file names or
other folders. Use = rarely. Write one line a sheet, as CSV with this first line:

sheet,hand,read,hang
0001,A,B,A
""".format(**QUESTIONS)
CATCHES = 0.1  # of all sheets
_ANSWERS = {"A": 1.0, "B": 0.0, "=": 0.5}
_WIDEST_PX = 1800  # of A beside B; wider pictures are placed one above the other
_GAP_PX, _LABEL_PX = 12, 30
_RESAMPLES = 2000
_PRIOR_WINS = 0.5  # each side of a pair starts with half a win, so that strengths stay finite


@dataclass(frozen=True, slots=True)
class Pair:
    """Two networks that paint in the style of one painting."""

    first: str
    second: str
    painting: Path


@dataclass(frozen=True, slots=True)
class Trial:
    """One sheet.

    Attributes:
        sheet: its number, the name of its file.
        a: the network on side A.
        b: the network on side B.
        painting: the painting's name.
        scene: the scene's name.
        catch: whether one side only has the painting's colours.
    """

    sheet: str
    a: str
    b: str
    painting: str
    scene: str
    catch: bool


@dataclass(frozen=True, slots=True)
class Wins:
    """The first network's result against the second, in one question.

    Attributes:
        wins: sheets that it won.
        ties: sheets without a winner.
        sheets: all sheets.
        share: its share of the wins, in 0..1.
        low: lower end of the 95 % interval of `share`.
        high: upper end.
    """

    wins: int
    ties: int
    sheets: int
    share: float
    low: float
    high: float


def plan(
    pairs: Sequence[Pair], names: Sequence[str], rng: np.random.Generator
) -> list[tuple[Pair, Trial]]:
    """All trials in the order in which they are shown, each with its pair."""
    drawn: list[tuple[Pair, str, str, str, bool]] = []
    for pair in pairs:
        for name in names:
            drawn += [
                (pair, pair.first, pair.second, name, False),
                (pair, pair.second, pair.first, name, False),
            ]
    catches = max(1, round(CATCHES * len(drawn) / (1 - CATCHES)))
    for _ in range(catches):
        pair = pairs[rng.integers(len(pairs))]
        sides = [pair.first, f"{COLORS}{pair.painting}"]
        rng.shuffle(sides)
        drawn.append((pair, sides[0], sides[1], names[rng.integers(len(names))], True))
    order = rng.permutation(len(drawn))
    trials = []
    for number, which in enumerate(order, 1):
        pair, a, b, name, catch = drawn[which]
        trials.append((pair, Trial(f"{number:04d}", a, b, pair.painting.stem, name, catch)))
    return trials


def sheet(
    photo: NDArray[np.uint8],
    painting: Image.Image,
    a: NDArray[np.uint8],
    b: NDArray[np.uint8],
) -> Image.Image:
    """A sheet: photo and painting at reduced size above two painted pictures at full size."""
    height, width = a.shape[:2]
    beside = 2 * width + _GAP_PX <= _WIDEST_PX
    whole_width = 2 * width + _GAP_PX if beside else width
    top = height // 2
    small = [
        each.resize((round(each.width * top / each.height), top), Image.Resampling.LANCZOS)
        for each in (Image.fromarray(photo), painting)
    ]
    over = sum(each.width for each in small) + _GAP_PX
    if over > whole_width:
        small = [
            each.resize((each.width * whole_width // over, each.height * whole_width // over))
            for each in small
        ]
    first_row = max(each.height for each in small) + _GAP_PX
    rows = 1 if beside else 2
    canvas = Image.new("RGB", (whole_width, first_row + rows * (height + _LABEL_PX)), "white")
    canvas.paste(small[0], (0, 0))
    canvas.paste(small[1], (small[0].width + _GAP_PX, 0))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(24)
    for number, (label, picture) in enumerate((("A", a), ("B", b))):
        x = number * (width + _GAP_PX) if beside else 0
        y = first_row + (0 if beside else number * (height + _LABEL_PX))
        draw.text((x + 4, y), label, "black", font)
        canvas.paste(Image.fromarray(picture), (x, y + _LABEL_PX))
    return canvas


def make(
    data: Path,
    folder: Path,
    key: Path,
    pairs: Sequence[Pair],
    height: int,
    seed: int,
    names: tuple[str, ...] = (),
    square: bool = False,
) -> list[Trial]:
    """Paints the pictures; writes sheets and instruction to a folder, and the key elsewhere.

    Args:
        data: the folder with photos and videos.
        folder: for the sheets.
        key: the file for the key, outside of `folder`.
        pairs: what to compare.
        height: lines of the pictures, one of HEIGHTS.
        seed: of sides and order.
        names: scenes to use; empty uses all.
        square: use only the middle square of every scene.

    Raises:
        SystemExit: the key would be in the folder that judges see.
    """
    if key.resolve().is_relative_to(folder.resolve()):
        raise SystemExit(f"error: {key} is in {folder}, which judges see; put it elsewhere")
    folder.mkdir(parents=True, exist_ok=True)
    shown = {scene.name: scene.rgb for scene in scenes(data, height, names, square)}
    trials = plan(pairs, list(shown), np.random.default_rng(seed))
    painters: dict[str, Painter] = {}
    painted: dict[tuple[str, str], NDArray[np.uint8]] = {}

    def paint(network: str, scene: str) -> NDArray[np.uint8]:
        if network not in painters:
            painters[network] = network_painter(network)
        if (network, scene) not in painted:
            painted[network, scene] = painters[network](shown[scene])
        return painted[network, scene]

    for pair, trial in trials:
        with Image.open(pair.painting) as painting:
            whole = sheet(
                shown[trial.scene],
                painting.convert("RGB"),
                paint(trial.a, trial.scene),
                paint(trial.b, trial.scene),
            )
        whole.save(folder / f"{trial.sheet}.jpg", quality=92)
    (folder / "instruction.txt").write_text(INSTRUCTION)
    made = [trial for _, trial in trials]
    key.parent.mkdir(parents=True, exist_ok=True)
    key.write_text(json.dumps([asdict(trial) for trial in made], indent=1) + "\n")
    return made


def read_answers(files: Iterable[Path]) -> list[dict[str, str]]:
    """The answers of one or more judges, one dict per sheet.

    Raises:
        SystemExit: a line is not an answer.
    """
    answers = []
    for file in files:
        with file.open(newline="") as lines:
            for line in csv.DictReader(lines):
                found = {key: (line.get(key) or "").strip() for key in ("sheet", *QUESTIONS)}
                if not all(found[question] in _ANSWERS for question in QUESTIONS):
                    raise SystemExit(f"error: {file} answers '{found}'; write A, B or =")
                answers.append(found)
    return answers


def scores(
    key: Sequence[Trial], answers: Iterable[dict[str, str]], question: str
) -> dict[tuple[str, str, str], dict[str, list[float]]]:
    """The first network's scores by (painting, first, second), names in order, and by scene."""
    trials = {trial.sheet: trial for trial in key}
    found: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for answer in answers:
        trial = trials[answer["sheet"]]
        if trial.catch:
            continue
        of_a = _ANSWERS[answer[question]]
        first, second = sorted((trial.a, trial.b))
        score = of_a if trial.a == first else 1 - of_a
        found[trial.painting, first, second][trial.scene].append(score)
    return found


def wins(of_scenes: dict[str, list[float]], rng: np.random.Generator) -> Wins:
    """The result of one pair from its scores by scene.

    The bootstrap resamples scenes, since the two sheets of a scene are not independent.
    """
    every = [score for found in of_scenes.values() for score in found]
    means = np.array([np.mean(found) for found in of_scenes.values()])
    draws = means[rng.integers(len(means), size=(_RESAMPLES, len(means)))].mean(1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Wins(
        sum(score == 1 for score in every),
        sum(score == 0.5 for score in every),
        len(every),
        float(np.mean(every)),
        float(low),
        float(high),
    )


def bradley_terry(points: dict[tuple[str, str], tuple[float, float]]) -> dict[str, float]:
    """Strengths of networks, with a geometric mean of 1.

    Bradley and Terry, Biometrika 1952; by the MM algorithm (Hunter, Annals of Statistics 2004).
    Half a point is added to both sides of each pair, so that a network without losses has a finite
    strength.

    Args:
        points: of the first and of the second network, by pair.
    """
    names = sorted({name for pair in points for name in pair})
    strength = dict.fromkeys(names, 1.0)
    for _ in range(1000):
        won = dict.fromkeys(names, 0.0)
        weight = dict.fromkeys(names, 0.0)
        for (first, second), (ours, theirs) in points.items():
            won[first] += ours + _PRIOR_WINS
            won[second] += theirs + _PRIOR_WINS
            games = ours + theirs + 2 * _PRIOR_WINS
            share = games / (strength[first] + strength[second])
            weight[first] += share
            weight[second] += share
        new = {name: won[name] / weight[name] for name in names}
        mean = float(np.exp(np.mean(np.log(list(new.values())))))
        strength = {name: value / mean for name, value in new.items()}
    return strength


def agreement(key: Sequence[Trial], answers: Sequence[dict[str, str]], question: str) -> float:
    """The share of swapped pairs that got the same answer both times."""
    alike = [
        float(found[0] == found[1])
        for of_scenes in scores(key, answers, question).values()
        for found in of_scenes.values()
        if len(found) == 2
    ]
    return float(np.mean(alike)) if alike else float("nan")


def catches_seen(key: Sequence[Trial], answers: Iterable[dict[str, str]]) -> tuple[int, int]:
    """How many catches were noticed (the painted side has the stronger hand), and of how many."""
    trials = {trial.sheet: trial for trial in key}
    seen = count = 0
    for answer in answers:
        trial = trials[answer["sheet"]]
        if trial.catch:
            count += 1
            painted = "B" if trial.a.startswith(COLORS) else "A"
            seen += answer["hand"] == painted
    return seen, count


def report(key: Sequence[Trial], answers: Sequence[dict[str, str]]) -> str:
    """All results as Markdown."""
    lines = [
        "| painting | first | second | question | first wins | ties | sheets | share | 95 % |",
        "|---" * 9 + "|",
    ]
    strengths: dict[tuple[str, str], dict[tuple[str, str], tuple[float, float]]] = defaultdict(dict)
    for question in QUESTIONS:
        for (painting, first, second), of_scenes in sorted(scores(key, answers, question).items()):
            found = wins(of_scenes, np.random.default_rng(0))
            lines.append(
                f"| {painting} | {first} | {second} | {question} | {found.wins} | {found.ties} "
                f"| {found.sheets} | {found.share:.2f} | {found.low:.2f} to {found.high:.2f} |"
            )
            points = found.share * found.sheets
            strengths[painting, question][first, second] = (points, found.sheets - points)
    lines.append("")
    for (painting, question), points in strengths.items():
        if len(points) > 1:
            ranked = sorted(bradley_terry(points).items(), key=lambda item: -item[1])
            listed = ", ".join(f"{name} {value:.2f}" for name, value in ranked)
            lines.append(f"Bradley-Terry, {painting}, {question}: {listed}")
    for question in QUESTIONS:
        share = agreement(key, answers, question)
        lines.append(f"Swapped pairs with the same answer, {question}: {share:.2f}")
    seen, count = catches_seen(key, answers)
    lines.append(f"Catches noticed: {seen} of {count}")
    return "\n".join(lines)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Which is it?</title>
<style>
body { font: 16px sans-serif; margin: 12px; }
img { max-width: 100%; display: block; margin: 8px 0; cursor: zoom-in; }
img.full { max-width: none; cursor: zoom-out; }
button { font: inherit; padding: 4px 14px; } button.chosen { background: #26c; color: white; }
pre { white-space: pre-wrap; }
</style>
<details><summary>Instruction</summary><pre>INSTRUCTION</pre></details>
<p id="place"></p><div id="questions"></div><p><button id="back">Back</button>
<button id="next">Next</button> <a id="save" download="answers.csv">Save answers</a></p>
<img id="sheet" alt="the sheet">
<script>
const sheets = SHEETS, questions = QUESTIONS, answers = {};
let at = 0;
const find = id => document.getElementById(id);
function show() {
  const sheet = sheets[at], given = answers[sheet] ??= {};
  find("place").textContent = `Sheet ${at + 1} of ${sheets.length}`;
  find("sheet").src = sheet + ".jpg";
  find("questions").replaceChildren(...Object.entries(questions).map(([name, text]) => {
    const line = document.createElement("p");
    line.append(text + " ");
    for (const answer of ["A", "=", "B"]) {
      const button = document.createElement("button");
      button.textContent = answer;
      button.className = given[name] === answer ? "chosen" : "";
      button.onclick = () => { given[name] = answer; show(); };
      line.append(button, " ");
    }
    return line;
  }));
  const names = Object.keys(questions);
  const whole = Object.entries(answers).filter(([, given]) => names.every(n => given[n]));
  const lines = whole.map(([sheet, given]) => [sheet, ...names.map(n => given[n])].join(","));
  const text = ["sheet," + names.join(","), ...lines].join("\\n") + "\\n";
  find("save").href = "data:text/csv;charset=utf-8," + encodeURIComponent(text);
}
find("back").onclick = () => { at = Math.max(0, at - 1); show(); };
find("next").onclick = () => { at = Math.min(sheets.length - 1, at + 1); show(); };
find("sheet").onclick = () => find("sheet").classList.toggle("full");
show();
</script>
</html>
"""


def page(trials: Iterable[Trial]) -> str:
    """A page that shows one sheet after the other and saves answers that `read` accepts."""
    return (
        _PAGE.replace("INSTRUCTION", INSTRUCTION)
        .replace("SHEETS", json.dumps([trial.sheet for trial in trials]))
        .replace("QUESTIONS", json.dumps(QUESTIONS))
    )


def _pair(text: str) -> Pair:
    networks, equals, painting = text.rpartition("=")
    first, comma, second = networks.partition(",")
    if not equals or not comma or not second or first == second:
        raise argparse.ArgumentTypeError(f"'{text}' is not FIRST,SECOND=PAINTING")
    if not Path(painting).is_file():
        raise argparse.ArgumentTypeError(f"there is no picture {painting}")
    return Pair(first, second, Path(painting))


def main() -> None:
    """Makes sheets or evaluates answers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="paint sheets for judges")
    making.add_argument("data", type=Path, metavar="DATA")
    making.add_argument("folder", type=Path, metavar="FOLDER", help="for the sheets")
    making.add_argument("key", type=Path, metavar="KEY.json", help="outside of FOLDER")
    making.add_argument("pairs", type=_pair, nargs="+", metavar="FIRST,SECOND=PAINTING")
    making.add_argument("--height", type=int, choices=HEIGHTS, default=HEIGHTS[0])
    making.add_argument("--seed", type=int, default=0, help="of sides and order")
    making.add_argument("--scenes", nargs="+", default=[], help="only these; default: all")
    making.add_argument(
        "--square", action="store_true", help="middle squares, for 720x720 networks"
    )
    making.add_argument("--html", action="store_true", help="also a page that shows the sheets")
    reading = commands.add_parser("read", help="evaluate answers")
    reading.add_argument("key", type=Path, metavar="KEY.json")
    reading.add_argument("answers", type=Path, nargs="+", metavar="ANSWERS.csv")
    arguments = parser.parse_args()
    if arguments.command == "make":
        trials = make(
            arguments.data, arguments.folder, arguments.key, arguments.pairs,
            arguments.height, arguments.seed, tuple(arguments.scenes), arguments.square,
        )  # fmt: skip
        if arguments.html:
            (arguments.folder / "index.html").write_text(page(trials))
        print(f"{len(trials)} sheets in {arguments.folder}; the key is {arguments.key}")
    else:
        key = [Trial(**row) for row in json.loads(arguments.key.read_text())]
        print(report(key, read_answers(arguments.answers)))


if __name__ == "__main__":
    run(main)
