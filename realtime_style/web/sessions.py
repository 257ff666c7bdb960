"""All live sessions of a server: how many there may be, and how they end together."""

from __future__ import annotations

import asyncio

from realtime_style.web.bucket import Bucket
from realtime_style.web.session import BusyError, Session
from realtime_style.web.settings import WebSettings
from realtime_style.wording import counted

_OFFERS_PER_S, _OFFER_BURST = 2.0, 20.0


class Sessions:
    """The live sessions of a server. All methods are called on the event loop."""

    def __init__(self, settings: WebSettings, offers: Bucket | None = None) -> None:
        """Args: offers, how often connections may be offered; None takes two a second."""
        self._settings = settings
        self._offers = offers or Bucket(_OFFERS_PER_S, _OFFER_BURST)
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def ids(self) -> list[str]:
        """The names of all sessions, oldest first."""
        return list(self._sessions)

    def find(self, session_id: str) -> Session | None:
        """The session of that name; None if there is none, or no more."""
        return self._sessions.get(session_id)

    async def open(self, offer: str, *, sends_back: bool = True) -> tuple[Session, str]:
        """Opens a session for a camera.

        Args:
            offer: the session description of its connection.
            sends_back: see `Session.join`.

        Returns:
            The session, and the answer to the offer.

        Raises:
            BusyError: there are as many sessions as allowed, or offers come too fast.
            MediaError: the offer cannot be used.
        """
        self._refuse_flood()
        if len(self._sessions) >= self._settings.sessions:
            raise BusyError(
                f"this server paints at most {counted(self._settings.sessions, 'camera')} at once, "
                "and is busy; stop or close another page that paints, or allow more sessions"
            )
        session = Session(self._settings, self._forget)
        self._sessions[session.id] = session
        try:
            return session, await session.join(offer, sends_back=sends_back)
        except BaseException:
            session.end()
            raise

    async def watch(self, session: Session, offer: str) -> str:
        """Connects one more viewer to a session; see `Session.watch`."""
        self._refuse_flood()
        return await session.watch(offer)

    def _refuse_flood(self) -> None:
        if not self._offers.take():
            raise BusyError("connections are offered too fast; wait a moment")

    async def close(self) -> None:
        """Ends all sessions, and waits until their recordings are complete."""
        await asyncio.gather(*(session.ended() for session in tuple(self._sessions.values())))

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
