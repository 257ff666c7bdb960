"""The commands `train` and `export`: new styles. Both need the extra [train]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realtime_style.cli.console import Output, Stopped, print_line, print_result
from realtime_style.cli.help import examples
from realtime_style.cli.options import (
    MACHINE,
    JsonText,
    Overwrite,
    Quiet,
    number,
    refuse_other,
    whole,
)
from realtime_style.defaults import SHARP_STEPS
from realtime_style.errors import StyleError, TrainingError

if TYPE_CHECKING:
    from realtime_style.training.config import TrainConfig

TRAIN_EXAMPLES = examples(
    "train painting.jpg --content photos/",
    "train painting.jpg --content photos/ --preset fast --strokes udnie",
    "train --styles-dir hokusai/ --content photos/ --out hokusai.onnx",
)
EXPORT_EXAMPLES = examples(
    "export painting.training/generator.safetensors painting.onnx",
    "export painting.training/checkpoint.pt painting.onnx --frames photos/",
    "export generator.safetensors my-style.onnx --card card.json",
)

_DATA = "Data"
_TRAINING = "Training"
_LEARNED_FROM = "Painting"
_STROKES = "Strokes"

PaintingFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="PAINTING",
        help="The picture to learn from, or a folder of them. Required, or --styles-dir.",
    ),
]
Content = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", rich_help_panel=_DATA, help="A folder of photos to train on. Required."
    ),
]
StylesDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", rich_help_panel=_DATA,
        help="A folder of paintings by one artist, instead of PAINTING.",
    ),
]  # fmt: skip
Clips = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", rich_help_panel=_DATA,
        help="A folder of films, to learn from their motion too. Needs OpenCV.",
    ),
]  # fmt: skip
Features = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE", rich_help_panel=_DATA,
        help="VGG weights; may be repeated. Default: VGG-19, downloaded once.",
    ),
]  # fmt: skip
Base = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", rich_help_panel=_DATA,
        help="Learn strokes from this generator on (.safetensors or .pt), or 'none' for random "
        "weights. Default: the included base, which reproduces the photo.",
    ),
]  # fmt: skip
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml", rich_help_panel=_TRAINING, help="Settings; options override them."
    ),
]
TrainPreset = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="PRESET", rich_help_panel=_TRAINING,
        help="fast (with an included style's strokes), standard or best; --config and options "
        "override it.",
    ),
]  # fmt: skip
Steps = Annotated[
    int | None,
    typer.Option(
        parser=whole(1), metavar="NUMBER", rich_help_panel=_TRAINING,
        help="Steps to learn the strokes. Default: 3000.",
    ),
]  # fmt: skip
PhotosPerStep = Annotated[
    int | None,
    typer.Option(
        "--batch", parser=whole(1), metavar="NUMBER", rich_help_panel=_TRAINING,
        help="Photos per step. Default: 2.",
    ),
]  # fmt: skip
Crop = Annotated[
    int | None,
    typer.Option(
        parser=whole(128), metavar="PIXELS", rich_help_panel=_TRAINING,
        help="Side of the square cut from each photo, a multiple of 32. Default: 320.",
    ),
]  # fmt: skip
LearningRate = Annotated[
    float | None,
    typer.Option(
        parser=number(0), metavar="NUMBER", rich_help_panel=_TRAINING,
        help="The highest learning rate. Default: 0.005.",
    ),
]  # fmt: skip
Seed = Annotated[
    int | None,
    typer.Option(
        parser=whole(0), metavar="NUMBER", rich_help_panel=_TRAINING,
        help="The same seed gives the same style. Default: 0.",
    ),
]  # fmt: skip
Resume = Annotated[
    bool,
    typer.Option("--resume", rich_help_panel=_TRAINING, help="Continue from the checkpoint."),
]
PaintingSize = Annotated[
    int | None,
    typer.Option(
        parser=whole(64, 2048), metavar="PIXELS", rich_help_panel=_LEARNED_FROM,
        help="Longer side of the painting; larger gives larger strokes. Default: 720.",
    ),
]  # fmt: skip
StyleWeight = Annotated[
    float | None,
    typer.Option(
        parser=number(0), metavar="NUMBER", rich_help_panel=_LEARNED_FROM,
        help="More gives more paint and less photo. Default: 400.",
    ),
]  # fmt: skip
Adversarial = Annotated[
    str | None,
    typer.Option(
        metavar="KIND", rich_help_panel=_LEARNED_FROM,
        help="Add a discriminator: log, lsgan or hinge. Default: none.",
    ),
]  # fmt: skip
Noise = Annotated[
    float | None,
    typer.Option(
        parser=number(0, 1), metavar="NUMBER", rich_help_panel=_LEARNED_FROM,
        help="Noise added to the photos, so that noise in films is not painted. Default: 0.",
    ),
]  # fmt: skip
Strokes = Annotated[
    Path | None,
    typer.Option(
        metavar="STYLE|FILE", rich_help_panel=_STROKES,
        help="Lay these strokes over photos, instead of training some: an included style's, by "
        "its name, or a generator's (.safetensors or .pt).",
    ),
]  # fmt: skip
SharpSteps = Annotated[
    int | None,
    typer.Option(
        parser=whole(1), metavar="NUMBER", rich_help_panel=_STROKES,
        help="Steps to learn, after the strokes, to lay them over photos, which keep their light "
        f"and forms, in the painting's colours. Default: {SHARP_STEPS}.",
    ),
]  # fmt: skip
SharpGain = Annotated[
    float | None,
    typer.Option(
        parser=number(0, 10), metavar="NUMBER", rich_help_panel=_STROKES,
        help="How strong the strokes are. Default: 2.2.",
    ),
]  # fmt: skip
SharpCalm = Annotated[
    float | None,
    typer.Option(
        parser=number(0, 1), metavar="SHARE", rich_help_panel=_STROKES,
        help="By how much they are weaker in calm parts of a photo. Default: 0.1.",
    ),
]  # fmt: skip
SharpFine = Annotated[
    float | None,
    typer.Option(
        parser=number(0, 1), metavar="SHARE", rich_help_panel=_STROKES,
        help="By how much they are weaker where a photo has fine detail, such as eyes. "
        "Default: 0.7.",
    ),
]  # fmt: skip
TrainDevice = Annotated[
    str | None,
    typer.Option("--device", metavar="DEVICE", rich_help_panel=MACHINE, help="auto, cpu or cuda."),
]
StyleOut = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="OUT.onnx", rich_help_panel="Output",
        help="The style file to write. Default: the name of PAINTING, with .onnx.",
    ),
]  # fmt: skip
Trained = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint (.pt) or .safetensors file.")
]
ExportOut = Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The style file to write.")]
ExportName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", rich_help_panel="Style", help="The style's name. Default: the name of OUT."
    ),
]
Card = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json", rich_help_panel="Style",
        help="What describes the style: title, painter, year, ...",
    ),
]  # fmt: skip
Frames = Annotated[
    Path | None,
    typer.Option(
        metavar="PHOTOS", rich_help_panel="Style",
        help="A photo or a folder of photos to compare both on; int8 needs some.",
    ),
]  # fmt: skip


def train(
    painting: PaintingFile = None,
    content: Content = None,
    styles_dir: StylesDir = None,
    clips: Clips = None,
    features: Features = None,
    base: Base = None,
    painting_size: PaintingSize = None,
    style_weight: StyleWeight = None,
    adversarial: Adversarial = None,
    noise: Noise = None,
    strokes: Strokes = None,
    sharp_steps: SharpSteps = None,
    sharp_gain: SharpGain = None,
    sharp_calm: SharpCalm = None,
    sharp_fine: SharpFine = None,
    preset: TrainPreset = None,
    config: ConfigFile = None,
    steps: Steps = None,
    batch: PhotosPerStep = None,
    crop: Crop = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
    resume: Resume = False,
    device: TrainDevice = None,
    out: StyleOut = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Trains a style from one painting, or from several. Needs the extra [train].

    Checkpoints, sample sheets, a report and TensorBoard logs go to the folder NAME.training beside
    OUT. On NaN it goes back to the last checkpoint and halves the learning rate. Ctrl-C saves a
    checkpoint; --resume continues from there.
    """
    with _training_extra():
        import realtime_style.training.train  # noqa: F401
    options = {
        "painting": _painting(painting, styles_dir), "content": content, "clips": clips,
        "features": tuple(features) if features else None, "base": base,
        "painting_px": painting_size, "style_weight": style_weight, "adversarial": adversarial,
        "noise": noise, "steps": steps, "batch": batch, "crop_px": _crop(crop),
        "learning_rate": learning_rate, "seed": seed,
        "device": device, "strokes": strokes, "sharp_steps": sharp_steps,
        "sharp_gain": sharp_gain, "sharp_calm": sharp_calm, "sharp_fine": sharp_fine,
    }  # fmt: skip
    settings = _settings(preset, config, options)
    out = out or Path(f"{settings.painting.stem}.onnx")
    _refuse_run(out, resume=resume, overwrite=overwrite)
    _run(settings, out, Output(quiet), resume=resume)


def _painting(painting: Path | None, styles_dir: Path | None) -> Path | None:
    if painting is not None and styles_dir is not None:
        raise typer.BadParameter("give PAINTING or --styles-dir, not both")
    if styles_dir is not None and not styles_dir.is_dir():
        raise TrainingError(
            f"there is no folder {styles_dir}; give --styles-dir a folder with paintings in it"
        )
    return painting or styles_dir


def _crop(crop: int | None) -> int | None:
    if crop is not None and crop % 32:
        raise typer.BadParameter(f"{crop} is not a multiple of 32", param_hint="--crop")
    return crop


def _settings(preset: str | None, config: Path | None, options: dict[str, Any]) -> TrainConfig:
    from realtime_style.training.config import ADVERSARIAL_KINDS, PRESETS, make_config

    refuse_other("preset", preset, PRESETS)
    refuse_other("adversarial", options["adversarial"], ("none", *ADVERSARIAL_KINDS))
    settings = make_config(preset, config, options)
    if not settings.sharp_steps:
        raise TrainingError(
            "without such steps there are only strokes, which are no style", setting="sharp_steps"
        )
    return settings


def _refuse_run(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Raises StyleError where a run would replace something that it may not replace."""
    from realtime_style.system.paths import refuse_unwritable
    from realtime_style.training.parallel import leads
    from realtime_style.training.run_folder import GENERATOR_NAME, STROKES_FOLDER, last_checkpoint

    if out.suffix != ".onnx":
        raise StyleError(f"--out is {out}; a style's file name ends in .onnx")
    run_dir = out.with_suffix(".training")
    checkpoint = last_checkpoint(run_dir)
    has_ended = not checkpoint or (run_dir / GENERATOR_NAME).exists()
    if out.exists() and resume and not overwrite and has_ended:
        strokes = run_dir / STROKES_FOLDER / GENERATOR_NAME
        more = f", and --base or --strokes {strokes}" if strokes.exists() else ""
        raise StyleError(
            f"{out} is ready, its training has ended; to train on from there, give another "
            f"--out{more}"
        )
    # a run that was begun with --overwrite may be resumed without it
    refuse_unwritable(out, "my-style.onnx", overwrite=overwrite or (resume and not has_ended))
    if checkpoint and not (resume or overwrite) and leads():
        raise StyleError(f"{checkpoint} is left from an earlier run", setting="resume")


def _run(settings: TrainConfig, out: Path, output: Output, *, resume: bool) -> None:
    """Trains, then exports; under torchrun only the first process prints and exports."""
    from export.to_onnx import export_trained
    from realtime_style.cli.training_progress import TrainingProgress
    from realtime_style.training.parallel import leads
    from realtime_style.training.run_folder import GENERATOR_NAME, last_checkpoint
    from realtime_style.training.train import train as run_training

    run_dir = out.with_suffix(".training")
    if not leads():
        output = Output(quiet=True)
    output.say(f"loading {settings.painting} and {settings.content}")
    progress = TrainingProgress(output, run_dir, has_begun=resume)
    try:
        run_training(settings, run_dir, resume=resume, observer=progress)
    except KeyboardInterrupt:
        checkpoint = last_checkpoint(run_dir)
        if progress.has_begun and checkpoint:
            print_line(f"saved as {checkpoint}; continue with --resume")
        else:
            print_line("stopped; nothing was saved")
        raise Stopped from None
    if not leads():
        return
    results = export_trained(run_dir / GENERATOR_NAME, out, pictures=settings.content)
    for result in results:
        output.say(f"parity: {result}")
    output.say(f"{out}: ready; sheet and report in {run_dir}")


def export(
    checkpoint: Trained,
    out: ExportOut,
    name: ExportName = None,
    card: Card = None,
    frames: Frames = None,
    overwrite: Overwrite = False,
    as_json: JsonText = False,
) -> None:
    """Makes a style file from a trained generator, and checks that both paint alike.

    Needs the extra [train].
    """
    from realtime_style.system.paths import refuse_unwritable

    with _training_extra():
        from export.to_onnx import export_trained
    refuse_unwritable(out, "my-style.onnx", overwrite=overwrite)
    results = export_trained(checkpoint, out, name=name, card=card, pictures=frames)
    if as_json:
        report = {"out": str(out), "parity": [result.as_dict() for result in results]}
        Output(as_json=True).json(report)
        return
    for result in results:
        print_result(f"parity: {result}")
    print_result(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


@contextmanager
def _training_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise StyleError(
            f"this command needs {error.name}, from the extra [train]; install it with: "
            "pip install 'realtime-style[train]' (in a checkout: pip install '.[train]')"
        ) from error
