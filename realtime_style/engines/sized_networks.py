"""Networks that are loaded for one size of picture and canvas each, which is faster than any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Network = TypeVar("Network")

_KEPT = 2  # a live picture may go back and forth between two sizes


class SizedNetworks(Generic[Network]):
    """Loads a network for each size that comes, and keeps those that were used last."""

    def __init__(self) -> None:
        self._networks: dict[tuple[tuple[int, int], tuple[int, int]], Network] = {}

    def of_size(
        self,
        size: tuple[int, int],
        canvas: tuple[int, int],
        load: Callable[[tuple[int, int], tuple[int, int]], Network],
    ) -> Network:
        """The network of a size; raises what loading it raises.

        Args:
            size, canvas: width and height of the picture and of its canvas.
            load: loads the network of a size. It is not stored: an engine whose method it is could
                only be freed by the garbage collector then, with all the memory of its networks.
        """
        network = self._networks.pop((size, canvas), None)
        if network is None:
            network = load(size, canvas)
        while len(self._networks) >= _KEPT:
            del self._networks[next(iter(self._networks))]
        self._networks[size, canvas] = network  # the newest is at the end
        return network

    def kept(self) -> list[Network]:
        """The networks that are kept at the moment."""
        return list(self._networks.values())
