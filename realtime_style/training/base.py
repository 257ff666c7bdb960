"""The common base of all styles: one set of convolutions that paints in many manners.

    python -m realtime_style.training.base PAINTINGS PHOTOS RUN --features ... [--resume]

Every painting of a folder is a style of its own, with its own normalisation layers; the
convolutions are shared (Dumoulin et al., "A Learned Representation for Artistic Style", ICLR 2017,
with batch for instance normalisation). Steps take the paintings in turn. What is shipped are the
convolutions with the mean of the normalisations: a new painting is learned from there many times
faster than from nothing, and all that start there can be blended.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from realtime_style.errors import TrainingError
from realtime_style.training.checkpoint import (
    CHECKPOINT_NAME,
    load_checkpoint,
    save_checkpoint,
    save_generator,
)
from realtime_style.training.config import TrainConfig
from realtime_style.training.dataset import PhotoFolder, load_paintings, pictures_below
from realtime_style.training.generator import Generator
from realtime_style.training.optimizer import Muon
from realtime_style.training.perceptual import load_networks
from realtime_style.training.train import (
    Objective,
    TrainState,
    interrupts_held_back,
    sample_sheet,
    train_step,
)


def sharing_generators(count: int) -> list[Generator]:
    """Generators whose convolutions are the same parameters; normalisations are their own."""
    first = Generator().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    netGs = [first]
    for _ in range(count - 1):
        memo: dict[int, object] = {id(p): p for p in first.parameters() if p.ndim == 4}
        netGs.append(copy.deepcopy(first, memo))
    return netGs


def mean_generator(netGs: list[Generator]) -> Generator:
    """A generator of the shared convolutions and the mean of everything else."""
    mean = copy.deepcopy(netGs[0])
    states = [netG.state_dict() for netG in netGs]
    mean.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(0)
            if value.is_floating_point()
            else value
            for name, value in states[0].items()
        }
    )
    return mean


def train_base(config: TrainConfig, run_dir: Path, *, resume: bool = False) -> Generator:
    """Trains generators of all paintings in a folder together; gives their mean.

    `config.painting` is the folder. `run_dir` receives a checkpoint and sample sheets, and at the
    end `generator.safetensors` and one file per painting. Says how it goes on standard output.

    Raises:
        TrainingError: unusable data, or a disk that is full.
        KeyboardInterrupt: passed on, after the state is saved.
    """
    torch.manual_seed(config.seed)
    torch.set_flush_denormal(True)
    run_dir.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    paths = pictures_below(config.painting)
    if not paths:
        raise TrainingError(f"{config.painting} has no paintings")
    photos = PhotoFolder(config.content, config.crop_px + 2 * config.margin_px, config.seed)
    samples = photos.samples(3)
    paintings: list[list[Tensor]] = [
        load_paintings(path, config.painting_px, config.painting_detail_px) for path in paths
    ]
    networks = load_networks(config.features)
    objectives = [Objective(config, each, device, networks) for each in paintings]
    netGs = sharing_generators(len(paths))
    together = nn.ModuleList(netGs).to(device)
    optimizer = Muon(together.parameters(), config.learning_rate)  # shared ones count once
    first = 0
    if resume:
        saved = load_checkpoint(run_dir / CHECKPOINT_NAME)
        together.load_state_dict(saved["netG"])
        optimizer.load_state_dict(saved["optimizer_G"])
        first = saved["step"]

    def save(step: int) -> None:
        state = {
            "netG": together.state_dict(),
            "optimizer_G": optimizer.state_dict(),
            "generator_config": dataclasses.asdict(netGs[0].config),
            "step": step,
            "config": config.as_dict(),
        }
        save_checkpoint(run_dir / CHECKPOINT_NAME, state)

    for netG in netGs:
        netG.train()
    with interrupts_held_back() as stop_asked:
        for index in range(first, config.steps):
            turn, place = divmod(index, len(paths))
            order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(turn))
            which = int(order[place])
            state = TrainState(netGs[which], None, optimizer, None, config.batch, step=index)
            photo = photos.batch(index + 1, range(config.batch))
            report = train_step(config, objectives[which], state, netGs[which], photo)
            losses = " ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
            print(f"{report.step} {paths[which].stem}: {losses}", flush=True)
            if report.step % config.sample_every == 0:
                sheet = sample_sheet(netGs[which], samples, paintings[which][0])
                sheet.save(run_dir / f"sample_{report.step:06d}_{paths[which].stem}.png")
            if report.step % config.checkpoint_every == 0 or report.step == config.steps:
                save(report.step)
            if stop_asked():
                save(report.step)
                raise KeyboardInterrupt
    base = mean_generator(netGs)
    metadata = {"training": config.as_dict() | {"paintings": [path.name for path in paths]}}
    save_generator(run_dir / "generator.safetensors", base, metadata)
    for netG, path in zip(netGs, paths, strict=True):
        save_generator(run_dir / f"{path.stem}.safetensors", netG, metadata)
    return base


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paintings", type=Path, help="a folder, every picture a style of its own")
    parser.add_argument("photos", type=Path, help="a folder of photos to learn on")
    parser.add_argument("out", type=Path)
    parser.add_argument("--features", type=Path, nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    config = TrainConfig(
        painting=given.paintings,
        content=given.photos,
        features=tuple(given.features),
        steps=given.steps,
        freeze_norm_at=1.0,
    )
    train_base(config, given.out, resume=given.resume)


if __name__ == "__main__":
    main()
