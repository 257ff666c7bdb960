"""The losses: what makes a good painting, as numbers to minimise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from realtime_style.training.parallel import mean_over_processes
from realtime_style.training.perceptual import Features

TONE_PX = 32  # cells whose mean colours the tone loss compares
GRID_PX = 4  # period of the grid that the grid loss measures
GRID_WINDOW_PX = 96
_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_DEEP_LAYER = "relu3_3"  # only at half size and below, where it sees larger forms for little work
WEAVE_WINDOW_PX = 96
WEAVE_FROM = 0.2  # least frequency of fine texture, in periods per pixel
WEAVE_FREE = 1.5  # bins up to this multiple of their surroundings do not count
WEAVE_AROUND = 21  # side of those surroundings, in bins
# Added to denominators, because some pictures have almost none of:
_MIN_FINE_POWER = 1e-4  # mean power per bin of fine texture; that of noise of half an 8-bit step
_MIN_ENERGY = 1e-3  # mean square of a layer's features (a black crop)
_MIN_TONE = 0.01  # sum of squared colours over the cells of a picture (a flat picture)
_MIN_TEXTURE = 1e-5  # variance within a tile (a flat picture)
_DIRECTIONS = 32  # random directions of the sliced Wasserstein distance, for each layer
_POSITIONS = 4096  # most positions that are compared, for each picture


def style_layers(scale: int) -> tuple[str, ...]:
    """The layers in which style is compared, for a picture shrunk by the factor `scale`."""
    return _STYLE_LAYERS if scale == 1 else (*_STYLE_LAYERS, _DEEP_LAYER)


def content_layers(scale: int) -> tuple[str, ...]:
    """The layers in which content is compared, for a picture shrunk by the factor `scale`."""
    return {1: ("relu4_1",), 2: ("relu2_2", _DEEP_LAYER)}.get(scale, ())


def gram_matrix(features: Tensor) -> Tensor:
    """The Gram matrix (Gatys et al., CVPR 2016, eq. 3), divided by the number of positions.

    Products are computed in the features' dtype and summed in float32: bfloat16 takes a third of
    the time, and its relative error (2^-9) is far below any style loss.

    Args:
        features: (N, C, H, W), any float dtype.

    Returns:
        (N, C, C) float32.
    """
    gram: Tensor = _Gram.apply(features)  # type: ignore[no-untyped-call]
    return gram


class _Gram(torch.autograd.Function):
    """F^T F. Its gradient is F (g + g^T), one product; autograd would compute two."""

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
    """Means over positions of x, x^2 and x * y, for each channel of x and y: (3, N, C).

    The gradient is written out because autograd would keep a dozen copies of the features. Only x
    receives one.
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
    """The dtype in which features are summed: float32, or float64 for float64 features."""
    return torch.promote_types(features.dtype, torch.float32)


def _moments(ours: Tensor, theirs: Tensor) -> Tensor:
    """Means of x, x^2, xy, y and y^2 per channel, (5, N, C), of features (N, C, H, W) x and y."""
    both: Tensor = _Moments.apply(ours, theirs)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        y = theirs.to(_wide(ours))
        of_y = torch.stack((y.mean((2, 3)), (y * y).mean((2, 3))))
    return torch.cat((both, of_y))


def content_losses(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The content loss and the structure loss.

    Content is the squared error relative to the photo's energy (Johnson et al., ECCV 2016, eq. 2),
    so that it means the same in every layer and for every photo: 0 for the photo itself, 1 for
    grey.

    Structure is 1 minus the correlation with the photo, 0 for the photo itself. Only the pattern of
    each channel counts, not its mean and size (half the squared error after instance normalisation,
    Ulyanov et al., CVPR 2017); channels are weighted by their variance in the photo. Features of
    paint are many times larger than those of photos. The content loss asks for equal size, so a
    generator can reduce it by painting less. The structure loss does not, and keeps a picture
    readable under the heaviest paint.

    Args:
        pairs: for each layer, the features (N, C, H, W) of the painted photo and of the photo. Only
            the former receive a gradient.

    Returns:
        Two scalars, content and structure: means over layers and photos.
    """
    contents, structures = [], []
    for painted, photo in pairs:
        x, xx, xy, y, yy = _moments(painted, photo)  # (N, C) each
        contents.append((xx - 2 * xy + yy).mean(1) / (yy.mean(1) + _MIN_ENERGY))
        energy_x, energy_y = (xx - x * x).clamp_min(0), (yy - y * y).clamp_min(0)
        correlation = (xy - x * y) / (energy_x * energy_y + 1e-6).sqrt()
        weight = energy_y / (energy_y.sum(1, keepdim=True) + 1e-6)
        structures.append(((1 - correlation) * weight).sum(1))
    return torch.stack(contents).mean(), torch.stack(structures).mean()


def tone_loss(painted: Tensor, photo: Tensor) -> Tensor:
    """How little the large areas of painted colour depend on the colours of the photo.

    Both are shrunk by 32, which removes brush strokes. For each photo, the painted colours are
    fitted by a quadratic function of the photo's colours; the loss is the share of their variance
    that this does not explain. It is 0 if equal colours are painted alike, in whatever colour, and
    1 for blotches that follow nothing. Without it, a camouflage pattern could have the right Gram
    matrices, which do not see where a colour is.

    Args:
        painted: (N, 3, H, W) in 0..1, sides at least 128. Receives the gradient.
        photo: the same shape.

    Returns:
        A scalar in 0..1.
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
    shares: Tensor = left.square().sum((1, 2)) / (whole.square().sum((1, 2)) + _MIN_TONE)
    return shares.mean()


def total_variation(rgb: Tensor) -> Tensor:
    """Mean absolute difference between neighbours, down and across; (N, 3, H, W) to a scalar."""
    dy = (rgb[:, :, 1:] - rgb[:, :, :-1]).abs().mean()
    dx = (rgb[:, :, :, 1:] - rgb[:, :, :, :-1]).abs().mean()
    return dy + dx


def gamut_loss(rgb: Tensor) -> Tensor:
    """Mean squared distance to the range a screen can show, 0..1; (N, 3, H, W) to a scalar."""
    return (rgb - rgb.clamp(0, 1)).square().mean()


def grid_loss(rgb: Tensor) -> Tensor:
    """How much of a picture's texture is a fixed grid with a period of 4 pixels.

    A generator whose trunk runs at a quarter of the size can fill calm areas with a repeated tile
    of 4x4 pixels. That looks like a screen in front of the picture, and stands still when the film
    moves. In each window of 96x96 pixels, each of the 16 positions within a tile is averaged over
    all tiles; the variance of the averages is the energy of the grid. Strokes average out.

    The loss is that energy divided by the picture's mean variance within a tile, because a faint
    grid is visible in pale, smooth paint but not under strokes. That variance gets no gradient, so
    that the loss cannot be reduced by more texture.

    Args:
        rgb: (N, 3, H, W) in 0..1, sides multiples of 4.

    Returns:
        A scalar: 0 without a grid, 1 if there is only a grid.
    """
    phases = functional.pixel_unshuffle(rgb, GRID_PX)  # (N, 3 * 16, H/4, W/4)
    window = min(GRID_WINDOW_PX // GRID_PX, *phases.shape[2:])
    means = functional.avg_pool2d(phases, window, max(1, window // 2))
    grid = _tile_variance(means)
    return (grid / (_tile_variance(phases.detach()) + _MIN_TEXTURE)).mean()


def weave_loss(rgb: Tensor) -> Tensor:
    """How much of a picture's fine texture repeats at a fixed period, such as hatching or a weave.

    It is computed from power spectra of the mean of the channels, in Hann windows of 96x96 pixels
    that overlap by half. Each spectrum is divided by the window's own power of fine texture
    (periods of up to 5 pixels), because even a faint weave is visible in calm paint. The mean over
    all windows of the batch keeps what they have in common. What exceeds 1.5 times the mean of the
    21x21 bins around a fine bin counts as weave; strokes and chance do not reach that. The
    surroundings get no gradient, so that the loss cannot be reduced by more texture.

    Args:
        rgb: (N, 3, H, W) in 0..1.

    Returns:
        A scalar, the share of the fine texture: 0 for noise, almost 1 if there is only a weave.
    """
    size = min(WEAVE_WINDOW_PX, *rgb.shape[2:])
    step = max(1, size // 2)
    windows = rgb.mean(1).unfold(1, size, step).unfold(2, size, step).flatten(0, 2)
    hann = torch.hann_window(size, dtype=rgb.dtype, device=rgb.device)
    centred = windows - windows.mean((1, 2), keepdim=True)
    power = torch.fft.fft2(centred * hann[:, None] * hann).abs().square()
    at = torch.fft.fftfreq(size, dtype=rgb.dtype, device=rgb.device)
    fine = torch.hypot(at[:, None], at) >= WEAVE_FROM
    own = power.detach()[:, fine].sum(1) + _MIN_FINE_POWER * size**2
    shares = mean_over_processes((power / own[:, None, None]).mean(0))
    around = min(WEAVE_AROUND, size // 2) // 2
    wrapped = functional.pad(shares.detach()[None, None], (around,) * 4, mode="circular")
    surroundings = functional.avg_pool2d(wrapped, 2 * around + 1, 1)[0, 0]
    return functional.relu(shares - WEAVE_FREE * surroundings)[fine].sum()


def _tile_variance(phases: Tensor) -> Tensor:
    """The mean over places and channels of the variance within a tile, (N,).

    Args:
        phases: (N, 3 * 16, h, w), the 16 positions of each tile and channel.
    """
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
    """The targets of `GramLoss`: the mean of the paintings' Gram matrices.

    Args:
        features: the feature extractor.
        paintings: RGB in 0..1, each (1, 3, H, W).
        scales: factors to shrink the paintings by; 1 is full size.

    Returns:
        For each scale, a matrix (1, C, C) float32 for each layer, by name.
    """
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
    """The distance between Gram matrices of photos and of paintings (Johnson, ECCV 2016, eq. 4).

    The squared error of each layer is divided by the energy of the paintings, so that all layers
    count the same. Pictures are compared at several scales: full size for brush strokes, smaller
    ones for larger forms. Several paintings have their mean as target, which is the hand of the
    artist rather than one picture.

    A share of the loss, `batch_share`, is computed from the mean Gram matrix of the whole batch
    instead of from each photo's. A painting has calm and busy, light and dark areas side by side.
    If only the batch as a whole has to match it, each photo has more freedom to stay as it was.
    """

    def __init__(self, targets: list[dict[str, Tensor]], batch_share: float = 0.0) -> None:
        """Stores the targets.

        Args:
            targets: from `gram_targets`; or with (N, C, C), another target for each photo.
            batch_share: 0..1; must be 0 if each photo has its own target.
        """
        super().__init__()
        self.batch_share = batch_share
        self.targets = targets

    def forward(self, pyramid: list[dict[str, Tensor]]) -> Tensor:
        """The loss, a scalar.

        Args:
            pyramid: for each scale, features (N, C, h, w) of the painted photos, by layer.
        """
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
    """The sliced Wasserstein distance of features (Heitz et al., CVPR 2021, eq. 3).

    The features of all positions are projected onto random directions, and the sorted projections
    are compared. So it compares whole distributions, where Gram matrices compare second moments.
    Squared differences are divided by the painting's energy along the direction.
    """

    def __init__(
        self, features: Features, paintings: list[Tensor], scales: tuple[int, ...]
    ) -> None:
        """Computes the features of paintings; for the arguments see `gram_targets`."""
        super().__init__()
        self.targets: list[dict[str, Tensor]] = []  # for each scale and layer, (C, positions)
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
        """The loss, a scalar.

        Args:
            pyramid: for each scale, features (N, C, h, w) of the painted photos, by layer.
            random: draws directions and positions, on the CPU.
        """
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
    """What netD minimises, a scalar.

    Args:
        kind: "log": -E[log D(s)] - E[log(1 - D(G(x)))], where D is the sigmoid of the score
            (Goodfellow et al., NeurIPS 2014, eq. 1). "lsgan": (E[(real - 1)^2] + E[fake^2]) / 2
            (Mao et al., ICCV 2017, eq. 9). "hinge": E[max(0, 1 - real)] + E[max(0, 1 + fake)]
            (Lim and Ye, arXiv 1705.02894).
        real: netD's scores of paintings, of any shape, before any sigmoid.
        fake: netD's scores of painted photos, likewise.
    """
    return _DISCRIMINATOR_LOSSES[kind](real, fake)


def adversarial_loss(kind: str, fake: Tensor) -> Tensor:
    """What netG minimises to look real to netD, a scalar.

    Args:
        kind: "log": -E[log D(G(x))], the form that does not saturate (Goodfellow et al., section
            3). "lsgan": E[(fake - 1)^2] / 2. "hinge": -E[fake].
        fake: netD's scores of painted photos, of any shape, before any sigmoid.
    """
    return _ADVERSARIAL_LOSSES[kind](fake)


_DISCRIMINATOR_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    # softplus(-x) = -log sigmoid(x), softplus(x) = -log(1 - sigmoid(x)): no overflow
    "log": lambda real, fake: functional.softplus(-real).mean() + functional.softplus(fake).mean(),
    "lsgan": lambda real, fake: ((real - 1).square().mean() + fake.square().mean()) / 2,
    "hinge": lambda real, fake: functional.relu(1 - real).mean() + functional.relu(1 + fake).mean(),
}
_ADVERSARIAL_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "log": lambda fake: functional.softplus(-fake).mean(),
    "lsgan": lambda fake: (fake - 1).square().mean() / 2,
    "hinge": lambda fake: -fake.mean(),
}
