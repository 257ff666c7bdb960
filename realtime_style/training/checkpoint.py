"""Training states on disk: complete ones to resume from, and generators alone to build on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from realtime_style.errors import TrainingError
from realtime_style.system.whole_file import whole_file
from realtime_style.training.generator import Generator, GeneratorConfig

CHECKPOINT_NAME = "checkpoint.pt"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a complete training state; an interrupted write leaves the former one whole.

    Raises:
        TrainingError: it cannot be written, as where the disk is full.
    """
    try:
        with whole_file(path) as partial:
            torch.save(state, partial)
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"{path} cannot be written: {error}; make room, and go on from the checkpoint before "
            "with --resume"
        ) from error


def load_checkpoint(path: Path, holds: str = "netG") -> dict[str, Any]:
    """A state of `save_checkpoint` with a network, on the CPU; TrainingError where it is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"there is no checkpoint {path}") from error
    except Exception as error:  # PyTorch raises many kinds, and at length
        raise TrainingError(
            f"{path} is not a checkpoint of this program; give a .pt or .safetensors file that "
            "training wrote"
        ) from error
    if not isinstance(state, dict) or holds not in state or "config" not in state:
        raise TrainingError(f"{path} is not a checkpoint of this program: it has no {holds}")
    return state


def save_generator(path: Path, netG: Generator, metadata: dict[str, Any]) -> None:
    """Writes unfolded weights (half precision) as safetensors: the base of later fine-tuning."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in netG.state_dict().items()
    }
    header = {"generator_config": json.dumps(dataclasses.asdict(netG.config))}
    header.update({key: json.dumps(value) for key, value in metadata.items()})
    with whole_file(path) as partial:
        partial.write_bytes(save(tensors, header))


def load_generator(path: Path) -> tuple[Generator, dict[str, Any]]:
    """A generator and its metadata, from `save_generator`'s file or a checkpoint.

    Raises:
        TrainingError: the file is neither.
    """
    if path.suffix != ".safetensors":
        state = load_checkpoint(path)
        try:
            netG = _generator(state["generator_config"])
            netG.load_state_dict(state["netG"])
            return netG, {"training": state["config"] | {"steps_done": state["step"]}}
        except (KeyError, TypeError, RuntimeError) as error:
            raise TrainingError(f"{path} does not hold a generator: {error}") from error
    if not path.exists():
        raise TrainingError(f"there is no file {path}; give a .safetensors that training wrote")
    try:
        with safe_open(path, "pt") as file:
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            netG = _generator(metadata.pop("generator_config"))
            netG.load_state_dict({key: file.get_tensor(key) for key in list(file.keys())})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{path} does not hold a generator; give a .safetensors or .pt that training wrote"
        ) from error
    return netG, metadata


def _generator(config: dict[str, Any]) -> Generator:
    return Generator(GeneratorConfig(**config | {"dilations": tuple(config["dilations"])}))
