"""What a good painting is, as numbers to make small."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.training.parallel import mean_over_processes
from realtime_style.training.perceptual import Features

TONE_PX = 32
GRID_PX = 4
GRID_WINDOW_PX = 96
_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_DEEP_LAYER = "relu3_3"  # looked at from half the size down: larger forms, for little work
WEAVE_WINDOW_PX = 96
WEAVE_FROM = 0.2  # periods a pixel
WEAVE_FREE = 1.5
WEAVE_AROUND = 21  # bins
_LEAST_FINE_POWER = 1e-4  # of a bin, in the mean: that of noise of half a code's size
_LEAST_ENERGY = 1e-3  # of a layer's mean square: a black crop has next to none
_LEAST_TONE = 0.01  # summed squares of colours over a picture's cells: a flat one has none
_LEAST_TEXTURE = 1e-5  # variance within a tile: a flat picture has none
_DIRECTIONS = 32  # of the sliced Wasserstein distance, in each layer
_POSITIONS = 4096  # at most, of each picture


def style_layers(scale: int) -> tuple[str, ...]:
    """The layers by which style is judged in a picture shrunk by a scale."""
    return _STYLE_LAYERS if scale == 1 else (*_STYLE_LAYERS, _DEEP_LAYER)


def content_layers(scale: int) -> tuple[str, ...]:
    """The layers by which content is judged in a picture shrunk by a scale."""
    return {1: ("relu4_1",), 2: ("relu2_2", _DEEP_LAYER)}.get(scale, ())


def gram_matrix(features: Tensor) -> Tensor:
    """Gram matrix (Gatys et al., CVPR 2016, eq. 3) over the number of positions.

    (N, C, H, W) to (N, C, C) in float32. The product is taken in the features' own type and sums
    in float32 inside: in bfloat16 that costs a third, at an error (2^-9) far below any style loss.
    """
    gram: Tensor = _Gram.apply(features)  # type: ignore[no-untyped-call]
    return gram


class _Gram(torch.autograd.Function):
    """F^T F, whose gradient is one product, F (g + g^T), where autograd would take two."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        flat = features.permute(0, 2, 3, 1).flatten(1, 2)  # (N, HW, C): no copy in channels_last
        gram = flat.transpose(1, 2) @ flat
        return gram.to(_wide(features)) / flat.shape[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        n, c, h, w = features.shape
        both = (gradient + gradient.transpose(1, 2)) / (h * w)
        flat = features.permute(0, 2, 3, 1).flatten(1, 2)
        change: Tensor = flat @ both.to(features.dtype)
        return change.view(n, h, w, c).permute(0, 3, 1, 2)


class _Moments(torch.autograd.Function):
    """Means over positions of x, x^2 and xy of each channel of x and y, (3, N, C).

    What both content losses are made of; written out, since autograd would keep and walk through
    a dozen copies of the features. The gradient is that of x alone.
    """

    @staticmethod
    def forward(ctx: Any, ours: Tensor, theirs: Tensor) -> Tensor:
        ctx.save_for_backward(ours, theirs)
        x, y = ours.to(_wide(ours)), theirs.to(_wide(ours))
        return torch.stack([part.mean((2, 3)) for part in (x, x * x, x * y)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        ours, theirs = ctx.saved_tensors
        wide = _wide(ours)
        of_mean, of_square, of_product = gradient[..., None, None] / ours[0, 0].numel()
        change = ours.to(wide, copy=True).mul_(2 * of_square).add_(of_mean)
        return change.addcmul_(theirs.to(wide), of_product).to(ours.dtype), None


def _wide(features: Tensor) -> torch.dtype:
    """What sums of features are kept in."""
    return torch.promote_types(features.dtype, torch.float32)


def _moments(ours: Tensor, theirs: Tensor) -> Tensor:
    """Of two pictures' features (N, C, H, W): means of x, x^2, xy, y, y^2 a channel, (5, N, C)."""
    both: Tensor = _Moments.apply(ours, theirs)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        y = theirs.to(_wide(ours))
        alone = torch.stack((y.mean((2, 3)), (y * y).mean((2, 3))))
    return torch.cat((both, alone))


def content_losses(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """How far what is painted is from the photo, by size and by likeness; two scalars.

    Of each layer a pair of features, of what is painted and of the photo. Both losses are averaged
    over layers and photos; gradients go to what is painted alone.

    Content is the squared error over the photo's energy (Johnson et al., ECCV 2016, eq. 2):
    relative, so that it means the same at every layer and of every photo; 0 for the photo itself,
    1 for grey.

    Structure is 1 - correlation, 0 for the photo itself: each channel's map, without its mean, is
    compared by direction alone (the cosine of the two; half the squared error after instance
    normalisation, Ulyanov et al., CVPR 2017), and weighs as much as it varies in the photo. Paint
    is stronger than photos: it makes maps many times larger, and content, which asks for the same
    size, is then paid by painting less. Structure is not, and keeps what is seen readable under
    the heaviest paint.
    """
    contents, structures = [], []
    for painted, photo in pairs:
        x, xx, xy, y, yy = _moments(painted, photo)  # (N, C) each
        contents.append((xx - 2 * xy + yy).mean(1) / (yy.mean(1) + _LEAST_ENERGY))
        energy_x, energy_y = (xx - x * x).clamp_min(0), (yy - y * y).clamp_min(0)
        correlation = (xy - x * y) / (energy_x * energy_y + 1e-6).sqrt()
        weight = energy_y / (energy_y.sum(1, keepdim=True) + 1e-6)
        structures.append(((1 - correlation) * weight).sum(1))
    return torch.stack(contents).mean(), torch.stack(structures).mean()


def tone_loss(painted: Tensor, photo: Tensor) -> Tensor:
    """How much of a painting's large forms of light and colour is not in the photo.

    Pictures are shrunk by 32, below which is the touch of the brush. What is left of the painting's
    colours when a quadratic in the photo's is fitted to them, photo by photo, is what the painting
    has of its own there, as a share of their variance: 0 where like is painted alike, whatever the
    colours; 1 for blotches that follow nothing. Gram matrices do not see where a colour lies, and
    are content with camouflage.

    (N, 3, H, W) in 0..1 both, sides at least 128; to a scalar; gradients go to `painted` alone.
    """
    ours, theirs = (
        functional.avg_pool2d(rgb.float(), TONE_PX).flatten(2).transpose(1, 2)  # (N, cells, 3)
        for rgb in (painted, photo)
    )
    with torch.no_grad():
        luma = theirs.mean(2, keepdim=True)
        basis = torch.cat((torch.ones_like(luma), theirs, luma * luma), 2)
        basis = torch.linalg.qr(basis).Q  # (N, cells, 5)
    left = ours - basis @ (basis.transpose(1, 2) @ ours)
    whole = ours - ours.mean(1, keepdim=True)
    shares: Tensor = left.square().sum((1, 2)) / (whole.square().sum((1, 2)) + _LEAST_TONE)
    return shares.mean()


def total_variation(rgb: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, both ways; (N, 3, H, W) in 0..1 to a scalar."""
    dy = (rgb[:, :, 1:] - rgb[:, :, :-1]).abs().mean()
    dx = (rgb[:, :, :, 1:] - rgb[:, :, :, :-1]).abs().mean()
    return dy + dx


def gamut_loss(rgb: Tensor) -> Tensor:
    """Mean squared distance of colours to what a screen can show; (N, 3, H, W), 0 within 0..1."""
    return (rgb - rgb.clamp(0, 1)).square().mean()


def grid_loss(rgb: Tensor) -> Tensor:
    """How far a picture's texture is tied to the grid of the network's strides.

    A generator whose trunk runs at a quarter of the size can fill calm areas with one tile of
    4x4 pixels again and again; it looks like a screen before the picture, and stands still when
    the film moves. In every window of 96x96 pixels, the 16 places within such a tile are averaged
    over all tiles; the variance of the averages is the grid's energy. Strokes that are not tied
    to the grid average out.

    Relative to each picture's mean variance within a tile (held fixed: more texture is no way
    out), since a faint grid shows in pale, smooth paint and not under strokes.

    (N, 3, H, W) in 0..1, sides multiples of 4; to a scalar, 0 for no grid, 1 for nothing else.
    """
    phases = functional.pixel_unshuffle(rgb, GRID_PX)  # (N, 3 * 16, H/4, W/4)
    window = min(GRID_WINDOW_PX // GRID_PX, *phases.shape[2:])
    means = functional.avg_pool2d(phases, window, max(1, window // 2))
    grid = _tile_variance(means)
    return (grid / (_tile_variance(phases.detach()) + _LEAST_TEXTURE)).mean()


def weave_loss(rgb: Tensor) -> Tensor:
    """How much of a picture's fine texture repeats itself at some period: hatching, a weave.

    Power of luma (plain mean of channels) in Hann windows of 96x96 pixels that overlap by half,
    each window's as a share of its own fine texture's (a weave shows in calm paint, however
    faint), averaged over windows and the batch: what all places have in common. Waves of up to 5
    pixels are fine; what their bins have above 1.5 times their surroundings' mean (21x21 bins, held
    fixed: more texture beside is no way out), where strokes and chance do not come to, is weave.

    (N, 3, H, W) in 0..1; to a scalar, a share: 0 for noise of any kind, near 1 for nothing else.
    """
    size = min(WEAVE_WINDOW_PX, *rgb.shape[2:])
    step = max(1, size // 2)
    windows = rgb.mean(1).unfold(1, size, step).unfold(2, size, step).flatten(0, 2)
    hann = torch.hann_window(size, dtype=rgb.dtype, device=rgb.device)
    centred = windows - windows.mean((1, 2), keepdim=True)
    power = torch.fft.fft2(centred * hann[:, None] * hann).abs().square()
    at = torch.fft.fftfreq(size, dtype=rgb.dtype, device=rgb.device)
    fine = torch.hypot(at[:, None], at) >= WEAVE_FROM
    own = power.detach()[:, fine].sum(1) + _LEAST_FINE_POWER * size**2
    shares = mean_over_processes((power / own[:, None, None]).mean(0))
    around = min(WEAVE_AROUND, size // 2) // 2
    wrapped = functional.pad(shares.detach()[None, None], (around,) * 4, mode="circular")
    surroundings = functional.avg_pool2d(wrapped, 2 * around + 1, 1)[0, 0]
    return functional.relu(shares - WEAVE_FREE * surroundings)[fine].sum()


def _tile_variance(phases: Tensor) -> Tensor:
    """Of (N, 3 * 16, h, w), the mean variance of the sixteen, (N,)."""
    n, _, h, w = phases.shape
    return phases.reshape(n, 3, GRID_PX**2, h, w).var(2, unbiased=False).mean((1, 2, 3))


def _features_of(
    paintings: list[Tensor], features: Features, scale: int
) -> list[dict[str, Tensor]]:
    layers = style_layers(scale)
    return [features(functional.avg_pool2d(each, scale), layers) for each in paintings]


def gram_targets(
    features: Features, paintings: list[Tensor], scales: tuple[int, ...]
) -> list[dict[str, Tensor]]:
    """Of each scale and layer, the mean of paintings' Gram matrices, (1, C, C)."""
    targets = []
    with torch.no_grad():
        for scale in scales:
            found = _features_of(paintings, features, scale)
            targets.append(
                {
                    name: torch.stack([gram_matrix(one[name]) for one in found]).mean(0)
                    for name in style_layers(scale)
                }
            )
    return targets


class GramLoss(nn.Module):
    """Distance of a picture's Gram matrices to the paintings' (Johnson et al., ECCV 2016, eq. 4).

    Each layer's squared error is relative to the paintings' own energy, so that layers weigh the
    same. Looked at in several scales: the picture and the paintings at full size for the touch of
    the brush, both shrunk for the larger forms. Of several paintings the mean counts: a painter's
    hand rather than one picture.

    `batch_share` of the loss asks it of the whole batch's mean Gram matrix instead of each
    photo's: the batch as a whole must look like the painting, as that has calm and busy, light
    and dark places side by side; each photo then has more freedom to stay as it was.
    """

    def __init__(
        self,
        features: Features,
        paintings: list[Tensor],
        scales: tuple[int, ...],
        batch_share: float = 0.0,
    ) -> None:
        """Args: paintings, each (1, 3, H, W) in 0..1; scales, by how much to shrink, from 1 up."""
        super().__init__()
        self.batch_share = batch_share
        self.targets = gram_targets(features, paintings, scales)

    @classmethod
    def towards(cls, targets: list[dict[str, Tensor]]) -> Self:
        """With targets as of `gram_targets`, or one for each photo of a batch, (N, C, C)."""
        loss = cls.__new__(cls)
        nn.Module.__init__(loss)
        loss.batch_share, loss.targets = 0.0, targets
        return loss

    def forward(self, pyramid: list[dict[str, Tensor]]) -> Tensor:
        """Features of the painted photos shrunk by each scale, to a scalar."""
        errors = []
        for found, target in zip(pyramid, self.targets, strict=True):
            for name, aim in target.items():
                grams = gram_matrix(found[name])
                energy = aim.square().sum((-2, -1))
                error = ((grams - aim).square().sum((1, 2)) / energy).mean()
                if self.batch_share:
                    mean = mean_over_processes(grams.mean(0))
                    of_batch = (mean - aim).square().sum() / energy
                    error = torch.lerp(error, of_batch, self.batch_share)
                errors.append(error)
        return torch.stack(errors).mean()


class WassersteinLoss(nn.Module):
    """Sliced Wasserstein distance of features (Heitz et al., CVPR 2021, eq. 3).

    Features of all positions are projected onto random directions; sorted, the two lists of
    numbers must agree. Sees whole distributions, where Gram matrices see second moments. Squared
    differences are relative to the painting's energy along the direction.
    """

    def __init__(
        self, features: Features, paintings: list[Tensor], scales: tuple[int, ...]
    ) -> None:
        """Args: as for `GramLoss`."""
        super().__init__()
        self.targets: list[dict[str, Tensor]] = []  # (C, positions)
        with torch.no_grad():
            for scale in scales:
                found = _features_of(paintings, features, scale)
                self.targets.append(
                    {
                        name: torch.cat([one[name][0].flatten(1) for one in found], 1).float()
                        for name in style_layers(scale)
                    }
                )

    def forward(self, pyramid: list[dict[str, Tensor]], random: torch.Generator) -> Tensor:
        """Features of the painted photos shrunk by each scale, to a scalar."""
        errors = []
        for found, target in zip(pyramid, self.targets, strict=True):
            for name, theirs in target.items():  # (C, P)
                ours = found[name].float().flatten(2)  # (N, C, HW)
                channels = theirs.shape[0]
                directions = torch.randn(_DIRECTIONS, channels, generator=random)
                directions = functional.normalize(directions, dim=1).to(theirs.device)
                count = min(_POSITIONS, ours.shape[2])
                picks = torch.randint(0, ours.shape[2], (count,), generator=random)
                others = torch.randint(0, theirs.shape[1], (count,), generator=random)
                mine = (directions @ ours[:, :, picks.to(theirs.device)]).sort(-1).values
                aims = (directions @ theirs[:, others.to(theirs.device)]).sort(-1).values
                errors.append((mine - aims).square().mean() / aims.square().mean())
        return torch.stack(errors).mean()


def discriminator_loss(kind: str, real: Tensor, fake: Tensor) -> Tensor:
    """What netD makes small, of its scores (any shape, before any sigmoid); a scalar.

    kind "log": -E[log D(s)] - E[log(1 - D(G(x)))], D being the sigmoid of the score (Goodfellow et
    al., NeurIPS 2014, eq. 1). "lsgan": (E[(real - 1)^2] + E[fake^2]) / 2 (Mao et al., ICCV 2017,
    eq. 9). "hinge": E[max(0, 1 - real)] + E[max(0, 1 + fake)] (Lim and Ye, arXiv 1705.02894).
    """
    return _DISCRIMINATOR_LOSSES[kind](real, fake)


def adversarial_loss(kind: str, fake: Tensor) -> Tensor:
    """What netG makes small, of netD's scores of its pictures; a scalar.

    kind "log": -E[log D(G(x))], the form that does not saturate. "lsgan": E[(fake - 1)^2] / 2.
    "hinge": -E[fake].
    """
    return _ADVERSARIAL_LOSSES[kind](fake)


_DISCRIMINATOR_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    # softplus(-x) = -log sigmoid(x), softplus(x) = -log(1 - sigmoid(x)), for scores of any size
    "log": lambda real, fake: functional.softplus(-real).mean() + functional.softplus(fake).mean(),
    "lsgan": lambda real, fake: ((real - 1).square().mean() + fake.square().mean()) / 2,
    "hinge": lambda real, fake: functional.relu(1 - real).mean() + functional.relu(1 + fake).mean(),
}
_ADVERSARIAL_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "log": lambda fake: functional.softplus(-fake).mean(),
    "lsgan": lambda fake: (fake - 1).square().mean() / 2,
    "hinge": lambda fake: -fake.mean(),
}
