"""The settings of a training run: defaults, presets, and TOML files."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime_style.defaults import DEFAULT_STYLE, SHARP_STEPS
from realtime_style.errors import TrainingError

BUNDLED_BASE = Path(__file__).resolve().parent.parent / "models" / "base.safetensors"
"""The generator that styles are trained from; its metadata says how it was made."""

BUNDLED_STROKES = BUNDLED_BASE.parent / "strokes"
"""The folder of the generators that paint the strokes of the included styles, NAME.safetensors."""

FROM_NOTHING = "none"
"""The name that stands for no base: training then starts from random weights."""

ADVERSARIAL_KINDS = ("log", "lsgan", "hinge")
"""Kinds of adversarial losses; see `losses.adversarial_loss`."""

_CHOICES = {
    "adversarial": ("none", *ADVERSARIAL_KINDS),
    "statistic": ("gram", "wasserstein"),
    "precision": ("auto", "bf16", "f32"),
}
_MAX_WEIGHT = 1e6
_RANGES = {  # beyond them a value is a slip; weights are checked as well
    "steps": (1, 1e9),
    "batch": (1, 1e9),
    "painting_px": (64, 2048),
    "painting_detail_px": (64, 4096),
    "painting_trim": (0, 0.5),
    "painting_sharpness": (0, 10),
    "painting_scales": (1, 8),
    "batch_share": (0, 1),
    "class_share": (0, 1),
    "light_classes": (1, 3),
    "portrait_share": (0, 1),
    "largest_zoom": (1, 16),
    "small_share": (0, 1),
    "style_start": (1e-6, 1),
    "noise": (0, 1),
    "freeze_norm_at": (0, 1),
    "learning_rate": (1e-9, 1e9),
    "discriminator_learning_rate": (1e-9, 1e9),
    "seed": (0, 2**63 - 1),
    "sharp_steps": (0, 1e9),
    "sharp_hue_share": (0, 1),
    "sharp_learning_rate": (1e-9, 1e9),
    "checkpoint_every": (1, 1e9),
    "sample_every": (1, 1e9),
}
_SHARP_RANGES = {"gain": (0, 10), "calm": (0, 1), "fine": (0, 1)}
_MIN_CROP_PX = 128  # in smaller crops the tone loss can fit its quadratic to anything


@dataclass(frozen=True, slots=True)
class SharpSettings:
    """How strokes of a canvas are laid over photos; checked at construction.

    See `sharp_overlay.SharpOverlay`.

    Attributes:
        gain: how strong the strokes are, 0..10; 1 is as strong as they were painted.
        calm: by how much they are weaker in calm parts of a photo, 0..1.
        fine: by how much they are weaker where a photo has fine detail, such as eyes, 0..1.

    Raises:
        TrainingError: a value out of its range; `setting` is the attribute of `TrainConfig`.
    """

    gain: float
    calm: float
    fine: float

    def __post_init__(self) -> None:
        """Checks all values."""
        for name, limits in _SHARP_RANGES.items():
            _refuse_beyond(f"sharp_{name}", getattr(self, name), limits)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What to train on, and how; checked at construction. The defaults paint best.

    Attributes:
        painting: a picture file, or a folder of paintings by one artist.
        content: a folder of photos to learn from.
        features: weights files of feature extractors (VGG); empty downloads VGG-19 once.
        base: the generator that training starts from; None starts from random weights.
        steps: optimiser steps in which the strokes are learned.
        batch: photos per step. For the sharp generator it is rounded up to a multiple of the
            processes.
        crop_px: side of the crops, a multiple of 32 from 128 up.
        margin_px: painted around each crop but not judged, a multiple of 4: as far as a generator
            sees the border. Otherwise it puts the painting's colours only along the border.
        painting_px: the painting's longer side; larger means larger strokes.
        painting_detail_px: the painting is first shrunk to this longer side, which removes grain.
        painting_trim: share of the painting's height that is cut off at the bottom, in 0..0.5,
            for scans that carry a mark there.
        painting_sharpness: amount of an unsharp mask over the painting: 1 doubles details of a few
            pixels. Scans are softer than paint, and generators paint as softly as what they saw.
        painting_scales: factors by which style is also compared at smaller sizes.
        statistic: what style compares, "gram" or "wasserstein".
        batch_share: share of the Gram loss that is asked of the whole batch, in 0..1.
        class_share: share of the style loss that is computed within classes, in 0..1: dark parts
            of a photo get the style of the painting's dark parts. See `classes.ClassGramLoss`.
        light_classes: classes of light, 1 to 3.
        hue_classes: divide each class of light into neutral, red, green and blue.
        recolor: compare painted photos with the photo in the painting's colours, not as it was
            taken; see `recoloring.Recoloring`.
        style_start: share of the style's weight at the first step, from which it grows to 1.
        adversarial: "none" or one of ADVERSARIAL_KINDS.
        clips: a folder of films; every second step of the second part learns from their motion.
        portraits: a folder of photos of faces; None takes all photos from `content`.
        portrait_share: share of the crops that are taken from `portraits`, in 0..1.
        largest_zoom: the factor by which crops may be enlarged, 1 to 16. The sharp generator has
            its own, as it learns from the photos' own detail; see `sharp_training`.
        small_share: share of the crops that are shrunk to 0.4 to 0.7 of the photo's own scale, in
            0..1. Above 0, other crops are not shrunk below 0.7. Likewise.
        noise: standard deviation of the noise on the generator's input, in 0..1.
        freeze_norm_at: share of the steps after which normalisation uses its running statistics,
            and second views under a motion are painted as well.
        learning_rate: the peak of the generator's learning rate, while it learns strokes.
        discriminator_learning_rate: the peak of the discriminator's.
        precision: of all networks, "bf16", "f32" or "auto"; see `device.autocast`.
        compile: compile the generator with torch.compile.
        seed: the same seed gives the same generator, on the same machine.
        device: "auto", "cpu" or "cuda".
        strokes: a generator that paints the strokes already; then `steps` and everything about
            losses is unused. None trains it.
        sharp_steps: optimiser steps of the second part, in which a sharp generator learns to lay
            the strokes over photos at the photo's own size; 0 leaves it out.
        sharp_gain: see `SharpSettings`, as for the next two.
        sharp_calm: likewise.
        sharp_fine: likewise.
        sharp_hue_share: share of its crops whose hue and saturation are changed, in 0..1, so that
            it learns colours that are rare in photos.
        sharp_learning_rate: the peak of its learning rate.
        checkpoint_every: steps between checkpoints.
        sample_every: steps between sample sheets.
        *_weight: factors of the losses; at 0 a loss is not computed. See losses.py, motion.py,
            light.py (light, hue), palette.py (palette, nearest_color) and recoloring.py (color).

    Raises:
        TrainingError: a value out of its range; `setting` is the attribute.
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
    painting_sharpness: float = 0.0
    painting_scales: tuple[int, ...] = (1, 2)
    statistic: str = "gram"
    batch_share: float = 0.25
    content_weight: float = 0.8
    structure_weight: float = 20.0
    tone_weight: float = 20.0
    recolor: bool = False
    color_weight: float = 0.0
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
    precision: str = "auto"
    compile: bool = False
    seed: int = 0
    device: str = "auto"
    strokes: Path | None = None
    sharp_steps: int = SHARP_STEPS
    sharp_gain: float = 2.2
    sharp_calm: float = 0.1
    sharp_fine: float = 0.7
    sharp_hue_share: float = 0.3
    sharp_learning_rate: float = 3e-3
    checkpoint_every: int = 200
    sample_every: int = 200

    def __post_init__(self) -> None:
        """Checks all values."""
        if self.margin_px < 0 or self.margin_px % 4:
            raise TrainingError(
                f"the margin must be a multiple of 4, not {self.margin_px}", setting="margin_px"
            )
        if self.crop_px < _MIN_CROP_PX or self.crop_px % 32:
            raise TrainingError(
                f"the crop size must be a multiple of 32 from {_MIN_CROP_PX} up, not "
                f"{self.crop_px}",
                setting="crop_px",
            )
        weights = [field.name for field in dataclasses.fields(self) if "_weight" in field.name]
        for name, limits in (_RANGES | dict.fromkeys(weights, (0, _MAX_WEIGHT))).items():
            values = getattr(self, name)
            for number in values if isinstance(values, tuple) else (values,):
                _refuse_beyond(name, number, limits)
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise TrainingError(
                    f"there is no {name} '{value}'; choose {', '.join(choices)}", setting=name
                )

        _ = self.sharp
        if self.strokes and not self.sharp_steps:
            raise TrainingError(
                "strokes are given, but there are no steps to lay them over photos",
                setting="sharp_steps",
            )

    @property
    def sharp(self) -> SharpSettings:
        """How strokes are laid over photos."""
        return SharpSettings(self.sharp_gain, self.sharp_calm, self.sharp_fine)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and style cards; paths are reduced to file names."""
        plain = dataclasses.asdict(self)
        for name, value in plain.items():
            if isinstance(value, Path):
                plain[name] = value.name
        return plain | {"features": [path.name for path in self.features]}


def _refuse_beyond(name: str, number: float, limits: tuple[float, float]) -> None:
    low, high = limits
    if not low <= number <= high:
        raise TrainingError(
            f"{name} must be from {low:g} to {high:g}, not {number:g}", setting=name
        )


def refuse_other_settings(config: TrainConfig, previous: dict[str, Any]) -> None:
    """Raises TrainingError if a run would be resumed with other settings than it began with.

    The schedule and the crops depend on them. A setting that is newer than the checkpoint counts as
    having had its default value; a checkpoint older than sharp generators is of a run without one.

    Args:
        config: the settings with which it is to be resumed.
        previous: the settings in the checkpoint, or in a file of the run.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    previous = defaults | {"sharp_steps": 0} | previous
    requested = config.as_dict()
    for name in requested.keys() - {"device", "checkpoint_every", "sample_every"}:
        now, before = requested[name], previous.get(name)
        # tuples become lists in JSON
        if (list(now) if isinstance(now, tuple) else now) != (
            list(before) if isinstance(before, tuple) else before
        ):
            raise TrainingError(
                f"the checkpoint was made with {name} = {before}, not {now}; a run can only be "
                "resumed with the settings it began with",
                setting=name,
            )


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {"strokes": Path(DEFAULT_STYLE)},
    "standard": {"steps": 3000},
    "best": {"steps": 12_000, "sharp_steps": 600},
}
"""Settings by preset; a TOML file and options override them.

"fast" lays the strokes of an included style over photos, in the painting's colours. Strokes that
were learned from there in a few steps looked worse: weaker, and softer.
"""

_FIELDS = {field.name: field for field in dataclasses.fields(TrainConfig)}


def make_config(preset: str | None, file: Path | None, options: dict[str, Any]) -> TrainConfig:
    """Settings from a preset, then a TOML file, then options; later ones win.

    Paths in the file are relative to it. Options that are None are skipped. Strokes may be those
    of an included style, by its name. Whoever sets `steps` or `base` wants strokes to be trained,
    so a preset's strokes are left out then.

    Raises:
        TrainingError: an unknown preset or setting, a value of the wrong type, a file that cannot
            be read, or no painting or content.
    """
    if preset is not None and preset not in PRESETS:
        raise TrainingError(
            f"there is no preset '{preset}'; choose {', '.join(PRESETS)}", setting="preset"
        )
    given = _read_toml(file) if file else {}
    given |= {name: value for name, value in options.items() if value is not None}
    settings = (PRESETS[preset] if preset else {}) | given
    if "strokes" not in given and given.keys() & {"steps", "base"}:
        settings.pop("strokes", None)
    if "strokes" in settings:
        settings["strokes"] = _strokes(settings["strokes"])
    for name in ("painting", "content"):
        if name not in settings:
            raise TrainingError(
                f"no {name} is given, neither as an argument nor in a configuration file",
                setting=name,
            )
    if "base" in settings and settings["base"].name == FROM_NOTHING:
        settings["base"] = None
    return TrainConfig(**settings)


def _strokes(named: Path) -> Path:
    """The file of strokes that a path, or the name of an included style, stands for."""
    included = BUNDLED_STROKES / f"{named.name}.safetensors"
    if named.suffix or named.exists():
        return named
    if not included.exists():
        names = ", ".join(sorted(path.stem for path in BUNDLED_STROKES.glob("*.safetensors")))
        raise TrainingError(
            f"there are no strokes {named.name}; give a file, or the name of an included style: "
            f"{names}",
            setting="strokes",
        )
    return included


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        read = tomllib.loads(file.read_text())
    except OSError as error:
        raise TrainingError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{file} is not a TOML file: it is not text") from error
    except tomllib.TOMLDecodeError as error:
        raise TrainingError(f"{file} cannot be read as TOML: {error}") from error
    settings = {}
    for name, value in read.items():
        if name not in _FIELDS:
            near = difflib.get_close_matches(name, _FIELDS, 1) or sorted(_FIELDS)
            raise TrainingError(
                f"{file} sets '{name}', which is not a setting; did you mean {', '.join(near)}?"
            )
        settings[name] = _as_field(file, name, value)
    return settings


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "Path": "a file or folder name in quotes",
    "Path | None": "a file or folder name in quotes",
    "tuple[Path, ...]": "a list of file names",
    "tuple[int, ...]": "a list of whole numbers",
}


def _as_field(file: Path, name: str, value: Any) -> Any:
    """A TOML value in the type of its field; raises TrainingError where it has another."""
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
