"""What stands before the API: who may ask, and how much. Source: ours.

A request that is refused here costs no thread and no memory: a token is looked at before the
body is read, and a body is read up to a limit, for so many seconds."""

import asyncio
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..files import to_json
from .app import Limits
from .page_guard import guarded, is_own

HEALTH = ("/health", "/health/live")
SHORTEST_TOKEN = 16
# What a header can carry as it is.
TOKEN = re.compile(r"[\x21-\x7e]*")
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
    if len(token) < SHORTEST_TOKEN or not TOKEN.fullmatch(token):
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
        headers = dict(scope["headers"])
        if self.token and scope["path"] not in HEALTH:
            if not may_pass(headers.get(b"authorization", b""), self.token):
                why = "Send the token of this server: `Authorization: Bearer TOKEN`."
                await refuse_early(send, 401, why, {"www-authenticate": "Bearer"})
                return
        if scope["method"] == "POST" and scope["path"] in self.bodies:
            await self._post(headers, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _post(
        self, headers: dict[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        origin, host = (headers.get(name) for name in (b"origin", b"host"))
        if origin is not None and not is_own(
            origin.decode("latin1"), (host or b"").decode("latin1")
        ):
            await refuse_early(send, 403, "Requests from other sites are not answered.")
            return
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if kind != b"application/json":
            await refuse_early(send, 415, "Send application/json.")
            return
        if self._announced(headers) > self.limits.bytes:
            await refuse_early(send, 413, self._too_large)
            return
        if self.inside >= self.limits.waiting:
            why = "Too many requests are under way. Try again later."
            await refuse_early(send, 503, why, {"retry-after": "1"})
            return
        self.inside += 1
        try:
            await self._read(scope, receive, send)
        finally:
            self.inside -= 1

    @property
    def _too_large(self) -> str:
        return f"A request has at most {self.limits.bytes} bytes."

    def _announced(self, headers: dict[bytes, bytes]) -> float:
        """The bytes that a body is said to have, 0 where nothing is said."""
        try:
            return float(headers.get(b"content-length", b"0"))
        except ValueError:
            return 0.0

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, and pass it on at once."""
        try:
            body = await asyncio.wait_for(self._body(receive), self.limits.seconds)
        except asyncio.TimeoutError:
            why = f"A request must arrive within {self.limits.seconds:g} seconds."
            await refuse_early(send, 408, why)
            return
        except OverflowError:
            await refuse_early(send, 413, self._too_large)
            return
        if body is None:
            return
        whole: list[Message] = [{"type": "http.request", "body": body}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, replay, send)

    async def _body(self, receive: Receive) -> bytes | None:
        """None where the client is gone. Raises OverflowError for a body that is too
        large."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > self.limits.bytes:
                raise OverflowError
            if not message.get("more_body"):
                return bytes(body)


async def refuse_early(
    send: Send, status: int, why: str, headers: dict[str, str] | None = None
) -> None:
    """Answer with an error, without having read the request to its end."""
    own = {"content-type": "application/json", "connection": "close", **(headers or {})}
    encoded = [(name.encode(), value.encode()) for name, value in own.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    body = to_json({"detail": why}, indent=None)
    await send({"type": "http.response.body", "body": body})
