"""The feature extractors of the losses: VGG-19 or VGG-16 (arXiv 1409.1556), or parts of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.errors import TrainingError

VGG19_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
VGG19_SHA256_PREFIX = "dcbb9e9d"

_VGG19 = (2, 2, 4, 4, 4)  # number of 3x3 convolutions in each block, before a pooling
_VGG16 = (2, 2, 3, 3, 3)
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in ImageNet


class Vgg(nn.Module):
    """The first convolutions of VGG-19 or VGG-16, as many as a weights file has.

    Attributes:
        layers: names of the ReLU outputs that it can return, such as "relu3_1".
        approximate: those of `layers` that are not VGG's own, but imitated by a small distilled
            network: a 1x1 convolution turns its features into VGG's number of channels.
    """

    def __init__(self, state: dict[str, Tensor], *, zero_padding: bool = False) -> None:
        """Loads weights, in any of four layouts.

        Args:
            state: tensors by name. "features.0.weight", ... (torchvision) and "conv1_1.weight", ...
                expect input that is normalised with ImageNet's mean and deviation, and padding with
                zeros. "conv0.weight", "conv1_1.weight", ... normalise with conv0, and expect
                padding by reflection; so do the distilled "conv0.weight", "conv11.weight",
                "conv11_aux.weight", ....
            zero_padding: whether to pad with zeros (grey) even if the weights expect reflection.
                Only features at the border change, and a training step takes a third less time.

        Raises:
            TrainingError: the weights have another layout, wrong shapes, or are not finite.
        """
        super().__init__()
        if "conv0.weight" in state:
            normalise = (state["conv0.weight"], state["conv0.bias"])
        else:
            mean, deviation = torch.tensor(_MEAN), torch.tensor(_DEVIATION)
            normalise = (torch.diag(1 / deviation)[:, :, None, None], -mean / deviation)
            zero_padding = True
        if "features.0.weight" in state:
            keys = _torchvision_keys(_VGG19 if "features.16.weight" in state else _VGG16)
        elif "conv1_1.weight" in state:
            keys = {(block, i): f"conv{block}_{i}" for block, i in _names(_VGG19)}
        elif "conv11.weight" in state:
            keys = {(block, i): f"conv{block}{i}" for block, i in _names(_VGG19)}
        else:
            raise TrainingError(
                "these are not the weights of VGG-19 or VGG-16: expected torchvision's "
                f"'features.0.weight', or 'conv1_1.weight', found {', '.join(sorted(state)[:3])}"
            )
        self._zero_padding = zero_padding
        self.normalise = _frozen_conv(*normalise)
        self.convs = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        channels = 3
        for (block, i), key in keys.items():
            if f"{key}.weight" not in state:
                if i > 1 and f"conv{block + 1}_1.weight" in state:
                    continue  # VGG-16 has no fourth convolution between poolings
                break
            name = f"relu{block}_{i}"
            channels = _check_shape(key, state, channels)
            self.convs[name] = _frozen_conv(
                state[f"{key}.weight"], state[f"{key}.bias"], padding=int(zero_padding)
            )
            if f"{key}_aux.weight" in state:
                self.heads[name] = _frozen_conv(
                    state[f"{key}_aux.weight"], state[f"{key}_aux.bias"]
                )
        distilled = len(self.heads) > 0
        self.layers = frozenset(self.heads if distilled else self.convs)
        self.approximate = self.layers if distilled else frozenset()

    def forward(self, rgb: Tensor, wanted: frozenset[str]) -> dict[str, Tensor]:
        """Computes features.

        Args:
            rgb: (N, 3, H, W) in 0..1.
            wanted: names in `layers`, at least one.

        Returns:
            The outputs of those layers by name, (N, C, H/2^k, W/2^k) with k poolings before.
        """
        features = {}
        x = self.normalise(rgb)
        last = max(wanted)  # "relu1_1" < "relu2_1": the names sort by depth
        for name, conv in self.convs.items():
            if name.endswith("_1") and name != "relu1_1":
                x = functional.max_pool2d(x, 2)
            if not self._zero_padding:
                x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
            x = conv(x)
            x = functional.relu(x)  # in place, it takes twice as long in bf16
            if name in wanted:
                features[name] = functional.relu(self.heads[name](x)) if name in self.heads else x
            if name == last:
                break
        return features


class Features(nn.Module):
    """Several networks used as one: each layer comes from the best network that has it.

    The best is the first that has VGG's own layer; if none has, the first with an imitation.
    """

    def __init__(self, networks: Sequence[Vgg], wanted: Iterable[str]) -> None:
        """Chooses a network for each layer.

        Args:
            networks: the networks to choose from.
            wanted: names of the layers that will be used.

        Raises:
            TrainingError: no network has a wanted layer.
        """
        super().__init__()
        chosen: dict[int, set[str]] = {}
        for layer in wanted:
            having = [i for i, network in enumerate(networks) if layer in network.layers]
            if not having:
                raise TrainingError(
                    f"no feature extractor has the layer {layer}; give a file of VGG-19 weights "
                    "that has it",
                    setting="features",
                )
            best = min(having, key=lambda i: layer in networks[i].approximate)
            chosen.setdefault(best, set()).add(layer)
        self.networks = nn.ModuleList(networks[i] for i in chosen)
        self.wanted = tuple(frozenset(layers) for layers in chosen.values())

    def forward(self, rgb: Tensor, layers: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Computes features.

        Args:
            rgb: (N, 3, H, W) in 0..1.
            layers: some of the wanted layers; None means all of them.

        Returns:
            The outputs of those layers by name; see `Vgg.forward`.
        """
        asked = None if layers is None else frozenset(layers)
        features: dict[str, Tensor] = {}
        for network, has in zip(self.networks, self.wanted, strict=True):
            here = has if asked is None else has & asked
            if here:
                features.update(network(rgb, here))
        return features


def load_networks(paths: Sequence[Path]) -> list[Vgg]:
    """Reads feature extractors from files, .safetensors or .pth; no code in them is executed.

    Args:
        paths: the files. If there are none, torchvision's VGG-19 is downloaded, once, into
            PyTorch's cache folder.

    Raises:
        TrainingError: a file is missing, damaged, or not VGG.
    """
    networks = []
    for path in paths or [fetch_vgg19()]:
        if path.exists():
            _check_hash(path)
        try:
            if path.suffix == ".safetensors":
                state = load_file(path)
            else:
                state = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise TrainingError(f"there is no file {path}", setting="features") from error
        except Exception as error:  # PyTorch and safetensors raise many types, with long messages
            raise TrainingError(
                f"{path} cannot be read as network weights; expected a .safetensors or .pth file "
                "of VGG-19 or VGG-16",
                setting="features",
            ) from error
        try:
            state = {key: value.float() for key, value in state.items()}
            networks.append(Vgg(state, zero_padding=True))
        except (AttributeError, KeyError) as error:
            raise TrainingError(
                f"{path} does not hold the weights of VGG-19 or VGG-16", setting="features"
            ) from error
        except TrainingError as error:
            raise TrainingError(f"{path}: {error}", setting="features") from error
    return networks


def fetch_vgg19(
    url: str = VGG19_URL, folder: Path | None = None, sha256_prefix: str = VGG19_SHA256_PREFIX
) -> Path:
    """The file with torchvision's VGG-19 weights (548 MB); downloads it if it is not there yet.

    Args:
        url: where to download the file.
        folder: where to keep it; None means PyTorch's cache folder.
        sha256_prefix: the first characters of the file's SHA-256 in hexadecimal.

    Raises:
        TrainingError: the download failed, or the downloaded file has another SHA-256.
    """
    folder = folder or Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / url.rsplit("/", 1)[-1]
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256_prefix)
        except (OSError, RuntimeError) as error:
            raise TrainingError(
                f"the VGG-19 weights cannot be downloaded from {url} ({error}); a file that was "
                "downloaded in another way can be used instead",
                setting="features",
            ) from error
    return path


def _names(blocks: tuple[int, ...]) -> list[tuple[int, int]]:
    """For each convolution the number of its block, and its number in that block, both from 1."""
    return [(block + 1, i + 1) for block, count in enumerate(blocks) for i in range(count)]


def _torchvision_keys(blocks: tuple[int, ...]) -> dict[tuple[int, int], str]:
    """Torchvision's names of the convolutions, by block and number in the block.

    Torchvision numbers convolutions, ReLUs and poolings in one sequence.
    """
    return {
        (block, i): f"features.{2 * (sum(blocks[: block - 1]) + i - 1) + block - 1}"
        for block, i in _names(blocks)
    }


def _check_shape(key: str, state: dict[str, Tensor], channels: int) -> int:
    """Checks the weights of a 3x3 convolution with `channels` input channels.

    Returns:
        The number of its output channels.

    Raises:
        TrainingError: the weights have another shape, or are not finite.
    """
    weight, bias = state[f"{key}.weight"], state[f"{key}.bias"]
    if tuple(weight.shape[1:]) != (channels, 3, 3) or tuple(bias.shape) != (weight.shape[0],):
        raise TrainingError(
            f"{key} has weights of {tuple(weight.shape)} and {tuple(bias.shape)}; expected "
            f"(any, {channels}, 3, 3) and (any,) for VGG"
        )
    if not torch.isfinite(weight).all():
        raise TrainingError(f"{key} has weights that are NaN or infinite: the file is damaged")
    return int(weight.shape[0])


def _check_hash(path: Path) -> None:
    """Checks a file whose name has the first 8 digits of its SHA-256, as PyTorch's weights do.

    Raises:
        TrainingError: the file has another SHA-256.
    """
    named = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    if named is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(named[1]):
        raise TrainingError(
            f"{path} is damaged: its SHA-256 starts with {found[:8]}, not with {named[1]} as its "
            "name says",
            setting="features",
        )


def _frozen_conv(weight: Tensor, bias: Tensor, padding: int = 0) -> nn.Conv2d:
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[-1], padding=padding)
    conv.weight = nn.Parameter(weight, requires_grad=False)
    conv.bias = nn.Parameter(bias, requires_grad=False)
    return conv
