"""What stands before the API: who may ask, and how much. Source: ours.

A request that is refused here costs no thread and no memory: a token is looked at before the
body is read, and a body is read up to a limit, for so many seconds."""

import asyncio
import hmac
from collections.abc import Collection
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from .app import Limits
from .page_guard import (
    SHORTEST_TOKEN,
    content_length,
    guarded,
    headers_of,
    is_own,
    protects,
    read_body,
    refuse,
    replayed,
)

HEALTH = ("/health", "/health/live")
WEAK_TOKEN = (
    f"The token must have {SHORTEST_TOKEN} characters or more, of ASCII and without spaces. "
    'Make one: python -c "import secrets; print(secrets.token_urlsafe())"'
)


@dataclass(frozen=True)
class ApiLimits(Limits):
    """The largest requests that are answered, as those of the page.

    texts: of a request; waiting: texts in the queue, and requests that are under way, at a
    time. Raises ValueError as `Limits`."""

    texts: int = 64
    waiting: int = 256

    @property
    def most_texts(self) -> int:
        """The texts of a request, which must find a place in the queue."""
        return min(self.texts, self.waiting)


def check_token(token: str) -> None:
    """Raises ValueError for a token that is guessed too soon, or fits into no header."""
    if not protects(token):
        raise ValueError(WEAK_TOKEN)


def may_pass(authorization: bytes, token: str) -> bool:
    """Does a header `Authorization` bring the token? Compared in constant time."""
    scheme, _, given = authorization.partition(b" ")
    known = hmac.compare_digest(given.strip(b" "), token.encode())
    return known and scheme.lower() == b"bearer"


class ApiGuard:
    """Middleware that refuses requests without the token, from pages of other sites, that
    are not JSON, too large, too slow to arrive, or too many.

    token: "" where none is needed; what is healthy is told to everyone; bodies: the paths
    that read one, by POST."""

    def __init__(
        self, app: ASGIApp, limits: ApiLimits, token: str, bodies: Collection[str]
    ) -> None:
        self.app, self.limits, self.token = app, limits, token
        self.bodies, self.inside = bodies, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = guarded(send)
        headers = headers_of(scope)
        if self.token and scope["path"] not in HEALTH:
            given = headers.get("authorization", "").encode("latin1")
            if not may_pass(given, self.token):
                why = "Send the token of this server: `Authorization: Bearer TOKEN`."
                await refuse(send, 401, why, [(b"www-authenticate", b"Bearer")])
                return
        if scope["method"] == "POST" and scope["path"] in self.bodies:
            await self._post(headers, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _post(
        self, headers: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not is_own(headers.get("origin"), headers.get("host", "")):
            await refuse(send, 403, "Requests from other sites are not answered.")
            return
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            await refuse(send, 415, "Send application/json.")
            return
        if content_length(headers) > self.limits.bytes:
            await refuse(send, 413, self._too_large)
            return
        if self.inside >= self.limits.waiting:
            why = "Too many requests are under way. Try again later."
            await refuse(send, 503, why, [(b"retry-after", b"1")])
            return
        self.inside += 1
        try:
            await self._read(scope, receive, send)
        finally:
            self.inside -= 1

    @property
    def _too_large(self) -> str:
        return f"A request has at most {self.limits.bytes} bytes."

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, and pass it on at once."""
        limits = self.limits
        try:
            body = await read_body(receive, limits.bytes, limits.seconds)
        except asyncio.TimeoutError:
            why = f"A request must arrive within {limits.seconds:g} seconds."
            await refuse(send, 408, why)
        except OverflowError:
            await refuse(send, 413, self._too_large)
        else:
            if body is not None:
                await self.app(scope, replayed(body, receive), send)
