"""The discriminator: tells crops of the painting apart from painted photos."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """netD: one score for each patch of 46x46 pixels (PatchGAN, Isola et al., CVPR 2017).

    It sees strokes and their neighbours, but never a whole picture: how something is painted should
    matter, not what. Spectral normalisation of every convolution (Miyato et al., ICLR 2018) keeps
    the discriminator from outrunning the generator; there is no other normalisation.
    """

    def __init__(self, channels: int = 48) -> None:
        super().__init__()
        widths = (3, channels, 2 * channels, 4 * channels)
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(narrow, wide, 4, 2)), nn.LeakyReLU(0.2)]
        layers.append(spectral_norm(nn.Conv2d(widths[-1], 1, 4)))
        self.layers = nn.Sequential(*layers)

    def forward(self, rgb: Tensor) -> Tensor:
        """RGB in 0..1, (N, 3, H, W), to scores, (N, 1, h, w): high for paint, low for fakes."""
        scores: Tensor = self.layers(rgb * 2 - 1)
        return scores
