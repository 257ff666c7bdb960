"""All settings of a training run: the defaults, presets, and TOML files."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime_style.errors import TrainingError

BUNDLED_BASE = Path(__file__).resolve().parent.parent / "models" / "base.safetensors"
"""What styles are fine-tuned from: a generator that paints; its metadata says how it was made."""

FROM_NOTHING = "none"
"""What a base is called that is none."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What to train on, and how. The defaults are what painted best.

    Sizes are pixels, learning rates are those between warm-up and cool-down,
    weights multiply the losses of losses.py. A margin around the crops is painted, but not judged:
    as wide as a generator knows of a border, so that it cannot put there what it owes the painting.
    `painting` is a file, or a folder of paintings by one hand; `painting_trim` of its height is cut
    off at the bottom, where a scan may carry a mark. `adversarial` is "none" or one of
    losses.ADVERSARIAL_KINDS, `statistic` "gram" or "wasserstein". The style's weight grows from
    `style_start` of itself. `noise` is the standard deviation of what is added to the input, in
    0..1. From `freeze_norm_at` of the steps on, normalisation uses the statistics that will run,
    not the batch's, and second views under a motion are painted as well: `motion_weight` and
    `motion_features_weight` ask for the same paint in both. Where `clips` is a folder of films,
    every second step from there on learns on pairs of their frames instead of photos. `base` is
    the generator that training starts from, None for an untrained one.

    `class_share` of the style loss is asked for within classes: `light_classes` (1 to 3), and
    with `hue_classes` neutral, red, green and blue in each; see `classes.ClassGramLoss`.
    Crops are enlarged by at most `largest_zoom`, and `small_share` of them are shrunk to 0.4 to
    0.7 of their size.
    `portrait_share` of the crops come from the folder `portraits`.
    """

    painting: Path
    content: Path
    features: tuple[Path, ...] = ()
    base: Path | None = BUNDLED_BASE
    steps: int = 3000
    batch: int = 2
    crop_px: int = 320
    margin_px: int = 88
    painting_px: int = 720
    painting_detail_px: int = 720
    painting_trim: float = 0.0
    painting_scales: tuple[int, ...] = (1, 2)
    statistic: str = "gram"
    batch_share: float = 0.25
    content_weight: float = 0.8
    structure_weight: float = 20.0
    tone_weight: float = 20.0
    light_weight: float = 0.0
    hue_weight: float = 0.0
    palette_weight: float = 0.0
    nearest_color_weight: float = 0.0
    class_share: float = 0.0
    light_classes: int = 3
    hue_classes: bool = False
    style_weight: float = 400.0
    style_start: float = 0.05
    tv_weight: float = 0.3
    gamut_weight: float = 20.0
    grid_weight: float = 600.0
    weave_weight: float = 60.0
    adversarial: str = "none"
    adversarial_weight: float = 1.0
    motion_weight: float = 1000.0
    motion_features_weight: float = 1.0
    clips: Path | None = None
    portraits: Path | None = None
    portrait_share: float = 0.15
    largest_zoom: float = 3.0
    small_share: float = 0.0
    noise: float = 0.0
    freeze_norm_at: float = 0.5
    learning_rate: float = 5e-3
    discriminator_learning_rate: float = 4e-4
    precision: str = "bf16"
    compile: bool = False
    seed: int = 0
    device: str = "auto"
    checkpoint_every: int = 200
    sample_every: int = 200

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and style cards; paths by their file names alone."""
        plain = dataclasses.asdict(self)
        plain["painting"] = self.painting.name
        plain["content"] = self.content.name
        plain["features"] = [path.name for path in self.features]
        plain["base"] = self.base.name if self.base else None
        plain["clips"] = self.clips.name if self.clips else None
        plain["portraits"] = self.portraits.name if self.portraits else None
        return plain


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"steps": 1000},
    "standard": {"steps": 3000},
    "best": {"steps": 12_000},
}
"""What `--preset` sets; a TOML file and options override it."""

_FIELDS = {field.name: field for field in dataclasses.fields(TrainConfig)}


def make_config(preset: str | None, file: Path | None, options: dict[str, Any]) -> TrainConfig:
    """Settings from a preset, then a TOML file, then options; the later ones win.

    Paths in the file are relative to it. Options that are None are left out.

    Raises:
        TrainingError: an unknown preset or setting, a value of the wrong type, a file that cannot
            be read, or no painting or content.
    """
    settings: dict[str, Any] = {}
    if preset is not None:
        if preset not in PRESETS:
            raise TrainingError(f"there is no preset '{preset}'; choose {', '.join(PRESETS)}")
        settings |= PRESETS[preset]
    if file is not None:
        settings |= _read_toml(file)
    settings |= {name: value for name, value in options.items() if value is not None}
    for name in ("painting", "content"):
        if name not in settings:
            how = "PAINTING" if name == "painting" else "--content FOLDER"
            raise TrainingError(f"no {name} is given; add {how}, or {name} to the config file")
    if "base" in settings and settings["base"].name == FROM_NOTHING:
        settings["base"] = None
    return TrainConfig(**settings)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        read = tomllib.loads(file.read_text())
    except OSError as error:
        raise TrainingError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{file} is no TOML file: it is not text") from error
    except tomllib.TOMLDecodeError as error:
        raise TrainingError(f"{file} cannot be read as TOML: {error}") from error
    settings = {}
    for name, value in read.items():
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, 1) or sorted(_FIELDS)
            raise TrainingError(
                f"{file} sets '{name}', which is no setting; did you mean {', '.join(near)}?"
            )
        settings[name] = _as_field(file, name, value)
    return settings


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "Path": "a file's or folder's name in quotes",
    "Path | None": "a file's or folder's name in quotes",
    "tuple[Path, ...]": "a list of files' names",
    "tuple[int, ...]": "a list of whole numbers",
}


def _as_field(file: Path, name: str, value: Any) -> Any:
    """A value of TOML in the type of its field."""
    wanted = str(_FIELDS[name].type)
    wrong = TrainingError(f"{file} sets {name} = {value!r}; it should be {_WORDS[wanted]}")
    if wanted.startswith("tuple"):
        if not isinstance(value, list):
            raise wrong
        kind = str if "Path" in wanted else int
        if not all(isinstance(item, kind) for item in value):
            raise wrong
        return tuple(file.parent / item if kind is str else item for item in value)
    if wanted.startswith("Path"):
        if not isinstance(value, str):
            raise wrong
        return file.parent / value
    kinds = {"int": int, "float": (int, float), "str": str, "bool": bool}[wanted]
    if not isinstance(value, kinds) or (isinstance(value, bool) and wanted != "bool"):  # type: ignore[arg-type]
        raise wrong
    return float(value) if wanted == "float" else value
