"""The settings of the web page's server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from realtime_style.errors import MediaError
from realtime_style.frame import Size
from realtime_style.live.stage import MIN_SIZE
from realtime_style.painting.plan import PaintPlan

PORT = 8377
LEAST_MBIT, MOST_MBIT = 0.5, 50.0  # range of `bitrate_mbit`
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The settings of the web page's server.

    Attributes:
        folder: where uploads, painted films, snapshots and recordings are kept; made if missing.
        host: the address to listen at. Browsers give their camera only to pages of this computer
            and to pages over HTTPS, so any other address needs a certificate.
        port: the TCP port; 0 takes any free one.
        names: further names under which the page is reached, such as that of a proxy.
        certificate, key: PEM files for HTTPS; None serves HTTP.
        plan: how to paint at first.
        size: at which live pictures are painted; None takes the largest that keeps up.
        min_size: the smallest size to choose, by its shorter side.
        sessions: how many cameras may be painted at once.
        bitrate_mbit: of painted live pictures, in Mbit/s.
        ice: addresses of STUN servers (stun:HOST:PORT); empty asks none.
        upload_bytes: the largest file that may be uploaded.

    Raises:
        MediaError: a value is out of its range, or the address needs a certificate.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = PORT
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    plan: PaintPlan = field(default_factory=PaintPlan)
    size: Size | None = None
    min_size: Size = MIN_SIZE
    sessions: int = 2
    bitrate_mbit: float = 5.0
    ice: tuple[str, ...] = ()
    upload_bytes: int = 8 << 30

    def __post_init__(self) -> None:
        if not LEAST_MBIT <= self.bitrate_mbit <= MOST_MBIT:
            raise MediaError(
                f"the bitrate must be from {LEAST_MBIT:g} to {MOST_MBIT:g} Mbit/s, "
                f"not {self.bitrate_mbit:g}",
                setting="bitrate",
            )
        if (self.certificate is None) != (self.key is None):
            raise MediaError("HTTPS needs both a certificate and its key", setting="certificate")
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise MediaError(f"there is no file {path}", setting="certificate")
        if not self.is_local and self.certificate is None:
            raise MediaError(
                f"at {self.host} other computers reach the page, and browsers give their camera "
                "only to pages over HTTPS: give a certificate and its key; or listen at 127.0.0.1, "
                f"and let a proxy with HTTPS forward to port {self.port or PORT}, with its name "
                "allowed here",
                setting="host",
            )
        for address in self.ice:
            if not address.startswith(("stun:", "turn:", "stuns:", "turns:")):
                raise MediaError(
                    f"'{address}' is not a STUN server; write stun:HOST:PORT", setting="ice"
                )

    @property
    def captures(self) -> Path:
        """The folder of snapshots and recordings."""
        return self.folder / "captures"

    @property
    def style_pictures(self) -> Path:
        """The folder of pictures that were uploaded as styles."""
        return self.folder / "styles"

    @property
    def is_local(self) -> bool:
        """Whether only this computer reaches the page."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def scheme(self) -> str:
        """The scheme of the page's address."""
        return "https" if self.certificate else "http"

    def is_ours(self, authority: str, port: int) -> bool:
        """Whether a Host header names this server; others come from a rebound DNS name.

        Args:
            authority: the header, such as "127.0.0.1:8377".
            port: the port that the server listens at.
        """
        name, given = _split(authority.lower())
        if name in (each.lower() for each in self.names):
            return True
        if given not in (str(port), *(("",) if port == _PORTS[self.scheme] else ())):
            return False
        if self.is_local:
            return name in _LOCAL
        try:  # a name could be rebound to our address; an address cannot
            ipaddress.ip_address(name)
        except ValueError:
            return name == self.host
        return True


_PORTS = {"http": 80, "https": 443}


def _split(authority: str) -> tuple[str, str]:
    """Name, without the brackets of IPv6, and port, "" if there is none."""
    if authority.startswith("["):
        name, _, port = authority[1:].partition("]")
        return name, port.removeprefix(":")
    name, _, port = authority.partition(":")
    return name, port
