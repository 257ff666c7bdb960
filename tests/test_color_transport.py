"""Optimal transport between colours, without PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime_style.style.color_transport import ColorTransport, in_oklab, loose_potential

GREYS = np.linspace(0, 1, 64)[:, None].repeat(3, 1)


def plain_potential(cost: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """`loose_potential` by the definition of its iterations, on logarithms."""
    f, g = np.zeros(cost.shape[0]), np.zeros(cost.shape[1])
    for softness in (0.02, 0.01, 0.005, 0.002):
        share = reach / (reach + softness)
        for _ in range(13):
            f = -share * softness * np.log(np.exp((g - cost) / softness).mean(1))
            g = -share * softness * np.log(np.exp((f[:, None] - cost) / softness).mean(0))
    return g


@pytest.mark.parametrize("reach", [0.02, 0.5])
def test_potentials_are_those_of_sinkhorns_iterations(reach: float) -> None:
    random = np.random.default_rng(0)
    cost = ((random.random((40, 1, 3)) - 0.5 * random.random((1, 30, 3))) ** 2).sum(2)
    found, expected = loose_potential(cost, reach), plain_potential(cost, reach)
    assert np.abs(found - expected).max() < 0.02 * np.ptp(expected)


def test_oklab_has_the_values_of_its_definition() -> None:
    """Ottosson 2020: white is (1, 0, 0), red is (0.628, 0.225, 0.126)."""
    found = in_oklab([[1, 1, 1], [1, 0, 0], [7, -3, 0]], chroma=2)
    expected = [[1, 0, 0], [0.628, 2 * 0.225, 2 * 0.126], [0.628, 2 * 0.225, 2 * 0.126]]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_colours_that_are_there_already_stay() -> None:
    found = ColorTransport(GREYS, GREYS)(GREYS.astype(np.float32))
    assert np.abs(found - GREYS)[4:-4].max() < 0.03


def test_light_stays_light_in_the_goals_colours() -> None:
    goal = 0.3 + 0.6 * GREYS * (0.2, 0.5, 1.0)
    found = ColorTransport(GREYS, goal)(GREYS.astype(np.float32))
    assert (np.diff(found @ [0.299, 0.587, 0.114]) > -1e-6).all()
    nearest = np.abs(found[:, None] - goal).sum(2).min(1)
    assert nearest.max() < 0.05  # no colour that the goal has not
    assert np.ptp(found[:, 2]) > 0.5  # and most that it has


def test_colours_outside_are_those_at_the_edge() -> None:
    transport = ColorTransport(GREYS, 0.2 + 0.6 * GREYS)
    edge, outside = (np.array([[v, v, v]], np.float32) for v in (1.0, 1.7))
    assert np.array_equal(transport(edge), transport(outside))
