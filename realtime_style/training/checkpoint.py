"""The files of training: checkpoints to resume from, and generators to start from or export."""

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
from realtime_style.training.sharp import HeadConfig, SharpGenerator

CHECKPOINT_NAME = "checkpoint.pt"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a training state, in place of the previous file.

    Args:
        path: the file.
        state: from `TrainState.as_dict`.

    Raises:
        TrainingError: the file cannot be written, for example because the disk is full.
    """
    try:
        with whole_file(path) as partial:
            torch.save(state, partial)
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"{path} cannot be written: {error}; the previous checkpoint is intact"
        ) from error


def load_checkpoint(path: Path, holds: str = "netG") -> dict[str, Any]:
    """Reads a training state; all tensors are on the CPU.

    Args:
        path: a file that `save_checkpoint` wrote.
        holds: the name of a network that the file must hold, such as "netG".

    Raises:
        TrainingError: there is no such file, or it is not a checkpoint with that network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(
            f"there is no checkpoint {path}; training writes it to the folder of the run"
        ) from error
    except Exception as error:  # PyTorch raises many types, with long messages
        raise TrainingError(
            f"{path} is not a checkpoint of this program; expected a .pt or .safetensors file that "
            "training wrote"
        ) from error
    if not isinstance(state, dict) or holds not in state or "config" not in state:
        raise TrainingError(f"{path} is not a checkpoint of this program: it has no {holds}")
    return state


def save_generator(path: Path, netG: Generator | SharpGenerator, metadata: dict[str, Any]) -> None:
    """Writes a generator's weights in float16, as a safetensors file that training can start from.

    Args:
        path: the file; it appears only when it is complete.
        netG: the generator, in training or evaluation mode; it is not changed.
        metadata: what describes the generator: values that JSON can hold, by name.

    Raises:
        OSError: the file cannot be written.
    """
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in netG.state_dict().items()
    }
    header = {"generator_config": json.dumps(dataclasses.asdict(netG.config))}
    if isinstance(netG, SharpGenerator):
        header["head_config"] = json.dumps(dataclasses.asdict(netG.head.config))
    header.update({key: json.dumps(value) for key, value in metadata.items()})
    with whole_file(path) as partial:
        partial.write_bytes(save(tensors, header))


def load_generator(path: Path) -> tuple[Generator, dict[str, Any]]:
    """Reads a generator and its metadata.

    Args:
        path: a file of `save_generator` (.safetensors), or a checkpoint (any other ending).

    Returns:
        The generator, on the CPU, and its metadata by name.

    Raises:
        TrainingError: there is no such file, or it holds no generator, or a sharp one.
    """
    netG, metadata = load_any_generator(path)
    if isinstance(netG, SharpGenerator):
        raise TrainingError(
            f"{path} holds a sharp generator; give the generator of its strokes, which training "
            "wrote to the folder strokes"
        )
    return netG, metadata


def load_any_generator(path: Path) -> tuple[Generator | SharpGenerator, dict[str, Any]]:
    """Reads a generator of either kind and its metadata; see `load_generator`."""
    if path.suffix != ".safetensors":
        state = load_checkpoint(path)
        try:
            netG = _generator(state["generator_config"], state.get("head_config"))
            netG.load_state_dict(state["netG"])
            return netG, {"training": state["config"] | {"steps_done": state["step"]}}
        except (KeyError, TypeError, RuntimeError) as error:
            raise TrainingError(f"{path} does not hold a generator: {error}") from error
    if not path.exists():
        raise TrainingError(f"there is no file {path}")
    try:
        with safe_open(path, "pt") as file:
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            netG = _generator(metadata.pop("generator_config"), metadata.pop("head_config", None))
            netG.load_state_dict({key: file.get_tensor(key) for key in list(file.keys())})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{path} does not hold a generator; training writes .safetensors and .pt files that do"
        ) from error
    return netG, metadata


def _generator(
    config: dict[str, Any], head_config: dict[str, Any] | None
) -> Generator | SharpGenerator:
    netG = Generator(GeneratorConfig(**config | {"dilations": tuple(config["dilations"])}))
    return netG if head_config is None else SharpGenerator(netG, HeadConfig(**head_config))
