import pytest
import torch
from torch import nn

from realtime_style.training.optimizer import Muon, orthogonalized

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.mark.parametrize("shape", [(16, 144), (64, 54), (1, 81)])
def test_orthogonalized_keeps_directions_and_evens_their_lengths(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(-1, 1, shape[1]))
    even = orthogonalized(matrix)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    ours = u.T @ even @ v.T
    assert torch.linalg.svdvals(even).min() > 0.5
    assert torch.linalg.svdvals(even).max() < 1.3
    assert (ours - torch.diag(ours.diag())).abs().max() < 1e-3  # no direction was turned


def test_a_kernels_step_is_as_long_as_adams() -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.zeros(32, 16, 3, 3))
    kernel.grad = torch.randn_like(kernel) * 1e-4
    Muon([kernel], lr=0.1).step()
    assert float(kernel.detach().square().mean().sqrt()) == pytest.approx(0.1 * 0.2, rel=0.2)
    assert float((kernel.detach() * kernel.grad).sum()) < 0  # downhill


def test_vectors_are_adams() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(7)) for _ in range(2))
    muon, adam = Muon([ours], lr=0.01), torch.optim.Adam([theirs], lr=0.01)
    for _ in range(5):
        ours.grad = torch.randn(7)
        theirs.grad = ours.grad.clone()
        muon.step()
        adam.step()
    torch.testing.assert_close(ours, theirs)


def test_what_has_no_gradient_stays() -> None:
    kernel, bias = nn.Parameter(torch.ones(2, 2, 3, 3)), nn.Parameter(torch.ones(2))
    bias.grad = torch.ones(2)
    Muon([kernel, bias], lr=0.1).step()
    assert torch.equal(kernel, torch.ones_like(kernel))
    assert not torch.equal(bias, torch.ones_like(bias))


def test_a_convolution_is_learned_and_resumed_from_its_state() -> None:
    torch.manual_seed(0)
    target, net = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
    optimizer = Muon(net.parameters(), lr=0.05)
    losses = []
    for step in range(60):
        if step == 30:
            saved = optimizer.state_dict()
            optimizer = Muon(net.parameters(), lr=0.05)
            optimizer.load_state_dict(saved)
            optimizer.param_groups[0]["lr"] = 0.01
        x = torch.randn(8, 3, 16, 16)
        loss = (net(x) - target(x)).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 50
