"""Removes the mesh from strokes: what alternates from pixel to pixel of the canvas.

No aim of training has such a mesh, but a generator that cannot paint its aim exactly leaves one,
because its last convolution makes each of four neighbouring pixels with another kernel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from realtime_style.training.color import paint_rgb
from realtime_style.training.generator import UpsampleConv
from realtime_style.training.sharp import SharpGenerator
from realtime_style.training.sharp_overlay import MEASURED_RATIO, canvas_of

# Passes flat parts whole, waves of 4 px at 0.75 and waves of 2 px not at all, along each axis
_SMOOTHING = torch.tensor([-1, 4, 10, 4, -1], dtype=torch.float64) / 16
_RIDGE = 1e-3  # share of the mean variance of inputs; holds kernels that no photo decides


@torch.no_grad()
def remove_mesh(netG: SharpGenerator, photos: Tensor) -> None:
    """Makes the body's last luma kernel paint smoothly from pixel to pixel of the canvas.

    The kernel becomes the one that comes nearest, in the least squares over photos, to painting
    with the former kernel and then smoothing. Nothing is added to the network.

    Args:
        netG: the kernel of `body.luma_head` is changed in place.
        photos: (N, 3, H, W) RGB in 0..1, sides multiples of 16, on the device of `netG`.
    """
    head = netG.body.luma_head
    kernel = head.weight.double().cpu()
    size = kernel.shape[-1] ** 2 * kernel.shape[1]
    variance, covariance = torch.zeros((size, size)).double(), torch.zeros(size).double()
    for inputs in _inputs_of(netG, photos):
        given, wanted = _equations(head, kernel, inputs.double().cpu())
        variance += given
        covariance += wanted
    ridge = _RIDGE * variance.diagonal().mean()
    if not ridge:  # all features are dead: nothing is painted, and so no mesh
        return
    variance.diagonal().add_(ridge)
    held = ridge * _smoothed(kernel, zeros=True).flatten()
    head.weight.copy_(torch.linalg.solve(variance, covariance + held).view_as(kernel))


def _inputs_of(netG: SharpGenerator, photos: Tensor) -> list[Tensor]:
    """What the luma head reads of each photo, (1, C, h + 4, w + 4)."""
    seen: list[Tensor] = []
    hook = netG.body.luma_head.register_forward_pre_hook(lambda head, given: seen.append(given[0]))
    was_training = netG.training
    netG.eval()
    for rgb in torch.split(photos, 1):
        canvas = canvas_of(rgb, MEASURED_RATIO)
        paint_rgb(lambda *planes, canvas=canvas: netG(*planes, canvas=canvas), rgb)
    hook.remove()
    netG.train(was_training)
    return seen


def _equations(head: UpsampleConv, kernel: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The normal equations for a kernel that paints smoothly, of one photo.

    Args:
        head: makes pixels of four phases, each with another part of its kernel's taps.
        kernel: the former kernel, (1, C, k, k), float64.
        inputs: what `head` reads, (1, C, h + 2m, w + 2m), float64.

    Returns:
        The variance of inputs, (C * k * k, C * k * k), and their covariance with the smoothed
        luma, (C * k * k,).
    """
    painted = functional.conv2d(inputs, head.subpixel_weight(kernel.to(head.weight)).double().cpu())
    smooth = _smoothed(functional.pixel_shuffle(painted, 2))
    wanted = functional.pixel_unshuffle(smooth, 2)[0].flatten(1)  # (4, h * w)
    channels, taps = kernel.shape[1], head.taps.double().cpu()
    read = functional.unfold(inputs, taps.shape[1])[0]  # (C * c * c, h * w)
    squares = (read @ read.T).view(channels, taps.shape[1] ** 2, channels, -1)
    products = (wanted @ read.T).view(len(wanted), channels, -1)
    variance, covariance = torch.zeros(()).double(), torch.zeros(()).double()
    for phase in range(4):
        of_phase = torch.einsum("jy,kx->jkyx", *taps[[phase // 2, phase % 2]])
        of_phase = of_phase.flatten(2).flatten(0, 1)  # (c * c, k * k)
        variance = variance + torch.einsum("aicj,ik,jl->akcl", squares, of_phase, of_phase)
        covariance = covariance + products[phase] @ of_phase
    side = math.isqrt(variance.numel())
    return variance.reshape(side, side), covariance.flatten()


def _smoothed(planes: Tensor, *, zeros: bool = False) -> Tensor:
    """Planes (1, C, h, w) without what alternates; beyond them is their edge, or zeros."""
    margin = len(_SMOOTHING) // 2
    mode = "constant" if zeros else "replicate"
    x = functional.pad(planes, [margin] * 4, mode=mode).transpose(0, 1)
    x = functional.conv2d(x, _SMOOTHING.view(1, 1, -1, 1))
    return functional.conv2d(x, _SMOOTHING.view(1, 1, 1, -1)).transpose(0, 1)
