"""Who may ask the page's server, and how much: middleware in front of all that it answers.

- Requests of another site's page are refused, and so are bodies that a form could send.
- With a token, nobody gets in without it: as `Authorization: Bearer …`, or as a cookie that
  opening `/?token=…` gives a browser. `/health` needs none.
- A body has a size and a time. It is read here, so that nothing slow reaches what follows.

Source: ours.
"""

import asyncio
import hashlib
import hmac
import re
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..files import to_json

HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; object-src 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
UPLOADS = "/api/project/import"
HEALTH = "/health"
COOKIE = "spacy_instructner"
SHORTEST_TOKEN = 16
TOKEN = re.compile(r"[\x21-\x7e]*")
OPENED = (
    b"<!doctype html><html lang='en'><meta charset='utf-8'><title>spacy-instructner</title>"
    b"<meta http-equiv='refresh' content='0;url=./'><p><a href='./'>Continue</a></p></html>"
)


class Guard:
    """Middleware that refuses requests of other sites, and bodies that are too large, too
    slow or of another type; and tells browsers to load nothing from elsewhere.

    most: bytes of a body; uploads: of an imported file; seconds: to send a body;
    no_store: what the browser must not keep on its disk, by the start of the path."""

    def __init__(
        self,
        app: ASGIApp,
        most: int,
        uploads: int = 0,
        seconds: float = 60.0,
        no_store: str = "/api/",
    ) -> None:
        self.app, self.most, self.uploads = app, most, uploads
        self.seconds, self.no_store = seconds, no_store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = guarded(send, scope["path"].startswith(self.no_store))
        headers = headers_of(scope)
        if not is_own(headers.get("origin"), headers.get("host", "")) or (
            # Browsers say so where they send no origin.
            headers.get("sec-fetch-site") in ("cross-site", "same-site")
            and scope["path"].startswith(self.no_store)
        ):
            await refuse(send, 403, "Requests from other sites are not answered.")
        elif scope["method"] in CHANGES:
            await self._change(scope, headers, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _change(
        self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send
    ) -> None:
        upload = bool(self.uploads) and scope["path"] == UPLOADS
        # Neither can be sent by a form of another site.
        wanted = "application/octet-stream" if upload else "application/json"
        most = self.uploads if upload else self.most
        if headers.get("content-type", "").split(";")[0].strip() != wanted:
            await refuse(send, 415, f"Send {wanted}.")
            return
        too_large = f"A request has at most {most} bytes."
        if content_length(headers) > most:
            await refuse(send, 413, too_large)
            return
        if upload:
            limited = Limited(receive, most, self.seconds)
            await self.app(scope, limited, send)
            return
        try:
            body = await read_body(receive, most, self.seconds)
        except asyncio.TimeoutError:
            await refuse(send, 408, "The request took too long to send.")
        except OverflowError:
            await refuse(send, 413, too_large)
        else:
            if body is not None:
                await self.app(scope, replayed(body, receive), send)


class UploadRefused(Exception):
    """An upload that is too large or too slow. status: of the answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Limited:
    """A body that is read in parts by whoever answers, with a limit of bytes and time.
    Raises UploadRefused where one is reached."""

    def __init__(self, receive: Receive, most: int, seconds: float) -> None:
        self.receive, self.most = receive, most
        self.until = time.monotonic() + seconds
        self.so_far, self.whole = 0, False

    async def __call__(self) -> Message:
        if self.whole:
            return await self.receive()
        left = max(self.until - time.monotonic(), 0.0)
        try:
            message = await asyncio.wait_for(self.receive(), left)
        except asyncio.TimeoutError as error:
            raise UploadRefused(408, "The file took too long to send.") from error
        self.so_far += len(message.get("body", b""))
        if self.so_far > self.most:
            raise UploadRefused(413, f"A file has at most {self.most} bytes.")
        self.whole = not message.get("more_body")
        return message


class TokenGate:
    """Middleware that answers nobody without the token.

    token: at least `SHORTEST_TOKEN` characters."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token.encode()
        # Not the token itself: what a browser keeps opens nothing but this page.
        own = hmac.new(self.token, b"cookie of the page", hashlib.sha256)
        self.cookie = own.hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http" or scope["path"] == HEALTH:
            await self.app(scope, receive, send)
        elif self._opens(scope):
            await self._open(headers_of(scope), send)
        elif self._is_known(headers_of(scope)):
            await self.app(scope, receive, send)
        else:
            await refuse(
                guarded(send, True),
                401,
                "Open the address with ?token=… that belongs to this server, or send "
                "the token as Authorization: Bearer.",
                [(b"www-authenticate", b"Bearer")],
            )

    def _opens(self, scope: Scope) -> bool:
        if scope["path"] != "/" or scope["method"] != "GET":
            return False
        query = parse_qs(scope["query_string"].decode("latin1"))
        return self._is_token(query.get("token", [""])[-1])

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf8", "replace"), self.token)

    def _is_known(self, headers: dict[str, str]) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(cookie_name(headers))
        except CookieError:
            return False
        value = "" if cookie is None else cookie.value
        return hmac.compare_digest(
            value.encode("utf8", "replace"), self.cookie.encode()
        )

    async def _open(self, headers: dict[str, str], send: Send) -> None:
        # A page, not a redirection: a browser that comes from elsewhere sends a strict
        # cookie only with what our own page asks for.
        name = cookie_name(headers)
        kept = f"{name}={self.cookie}; HttpOnly; SameSite=Strict; Path=/"
        own = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"set-cookie", kept.encode()),
        ]
        send = guarded(send, True)
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": OPENED})


def check_token(token: str) -> None:
    """Raises ValueError for a token that can be guessed, or that no header can hold."""
    if not protects(token):
        raise ValueError(
            f"A token has at least {SHORTEST_TOKEN} letters, digits and signs, and no "
            'spaces. This makes one: python -c "import secrets; '
            'print(secrets.token_urlsafe(24))"'
        )


def protects(token: str) -> bool:
    """Is a token long enough, and can a header carry it as it is?"""
    return len(token) >= SHORTEST_TOKEN and bool(TOKEN.fullmatch(token))


def headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode("latin1"): v.decode("latin1") for name, v in scope["headers"]}


def cookie_name(headers: dict[str, str]) -> str:
    """Browsers send a cookie to all ports of a machine, where other servers may have theirs:
    each port, as the browser names it, has a name of its own."""
    try:
        port = urlsplit(f"//{headers.get('host', '')}").port
    except ValueError:
        port = None
    return COOKIE if port is None else f"{COOKIE}_{port}"


def content_length(headers: dict[str, str]) -> int:
    """The bytes that a body is said to have, 0 where nothing is said."""
    try:
        return int(headers.get("content-length", "0"))
    except ValueError:
        return 0


async def read_body(receive: Receive, most: int, seconds: float) -> bytes | None:
    """The body of a request; None where the client is gone. Raises OverflowError for more
    bytes than `most`, and asyncio.TimeoutError for a body that takes longer."""

    async def read() -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > most:
                raise OverflowError
            if not message.get("more_body"):
                return bytes(body)

    return await asyncio.wait_for(read(), seconds)


def replayed(body: bytes, receive: Receive) -> Receive:
    """`receive`, with a body that was read already before what follows."""
    whole: list[Message] = [{"type": "http.request", "body": body}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay


def is_own(origin: str | None, host: str) -> bool:
    """Was a request made by this page, or by no page at all?"""
    try:
        return origin is None or urlsplit(origin).netloc == host
    except ValueError:
        return False


def guarded(send: Send, no_store: bool = False) -> Send:
    """`send`, with `HEADERS` added to each response."""
    more = [*HEADERS, *([(b"cache-control", b"no-store")] if no_store else [])]

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *more]
        await send(message)

    return with_headers


async def refuse(
    send: Send, status: int, why: str, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Answer with an error, as FastAPI does."""
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, *(more or [])],
        }
    )
    body = to_json({"detail": why}, indent=None)
    await send({"type": "http.response.body", "body": body})
