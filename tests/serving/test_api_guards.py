"""What stands before the API."""

import asyncio
from typing import Any

import pytest

for package in ("fastapi", "prometheus_client"):
    pytest.importorskip(package)

from helpers.serving_api import TOKEN, Exchange  # noqa: E402
from spacy_instructner.serving.api_guards import (  # noqa: E402
    ApiGuard,
    ApiLimits,
    check_token,
    may_pass,
)


def guarded(
    behind: "Behind", limits: ApiLimits | None = None, token: str = ""
) -> ApiGuard:
    return ApiGuard(behind, limits or ApiLimits(), token, ["/v1/annotate"])


class Behind:
    """An application that keeps what reaches it, and answers when it may."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            self.bodies.append((await receive())["body"])
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


def exchange(
    token: str = "", limits: ApiLimits | None = None, **more: Any
) -> tuple[int, Exchange, Behind]:
    """The status of one request, the request, and what is behind the guard."""

    async def run() -> tuple[int, Exchange, Behind]:
        behind = Behind()
        behind.go.set()
        own = Exchange(guarded(behind, limits, token), **more)
        return await asyncio.wait_for(own.run(), 30), own, behind

    return asyncio.run(run())


@pytest.mark.parametrize(
    "given,passes",
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        (f"Basic {TOKEN}", False),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Bearer {TOKEN.upper()}", False),
        (f"Bearer{TOKEN}", False),
        (TOKEN, False),
        ("Bearer ", False),
        ("Bearer \xff\xfe", False),
        ("", False),
    ],
)
def test_who_has_the_token_may_pass(given: str, passes: bool) -> None:
    assert may_pass(given.encode("latin1"), TOKEN) is passes


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 15, "a token with spaces in it", "täglich-ein-token"]
)
def test_tokens_that_protect_nothing(token: str) -> None:
    with pytest.raises(ValueError, match="16 characters or more.*secrets"):
        check_token(token)
    check_token("x" * 16)


def test_nothing_is_read_of_who_may_not_pass() -> None:
    status, own, behind = exchange(TOKEN, body=b"{}")
    assert status == 401 and behind.bodies == []
    assert own.incoming.qsize() == 1
    status, _, behind = exchange(
        TOKEN, body=b"{}", headers={"authorization": f"Bearer {TOKEN}"}
    )
    assert status == 200 and behind.bodies == [b"{}"]


@pytest.mark.parametrize(
    "path,status",
    [
        ("/health", 200),
        ("/health/live", 200),
        ("/health/", 401),
        ("/health/../metrics", 401),
        ("//health", 401),
        ("/HEALTH", 401),
        ("/metrics", 401),
        ("/", 401),
    ],
)
def test_health_alone_needs_no_token(path: str, status: int) -> None:
    assert exchange(TOKEN, path=path, method="GET")[0] == status
    assert exchange("", path=path, method="GET")[0] == 200


def test_a_body_of_other_sites_or_kinds_is_refused() -> None:
    for origin in ("http://evil.example", "http://[", "null", "http://localhost.evil"):
        assert exchange(body=b"{}", headers={"origin": origin})[0] == 403
    assert exchange(body=b"{}", headers={"origin": "http://localhost"})[0] == 200
    for kind in ("text/plain", "", "multipart/form-data", "application/jsonx"):
        assert exchange(body=b"{}", headers={"content-type": kind})[0] == 415
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        assert exchange(body=b"{}", headers={"content-type": kind})[0] == 200


def test_a_path_without_a_body_reads_none() -> None:
    """What is behind says that it takes no POST."""
    status, own, behind = exchange(path="/health", body=b"x", headers={"origin": "x"})
    assert (status, behind.bodies) == (200, [b"x"])


def test_a_body_is_read_up_to_its_limit() -> None:
    limits = ApiLimits(bytes=10)
    status, _, behind = exchange(limits=limits, body=b"x" * 10)
    assert status == 200 and behind.bodies == [b"x" * 10]
    status, own, behind = exchange(limits=limits, body=b"x" * 11)
    assert status == 413 and behind.bodies == []
    assert "at most 10 bytes" in own.json["detail"]

    # Or not at all, where it is announced.
    status, own, behind = exchange(
        limits=limits, body=b"x", headers={"content-length": "11"}
    )
    assert (status, behind.bodies, own.incoming.qsize()) == (413, [], 1)
    for said in ("10", "many", ""):
        headers = {"content-length": said}
        assert exchange(limits=limits, body=b"x", headers=headers)[0] == 200

    async def in_parts() -> tuple[int, list[bytes]]:
        behind = Behind()
        behind.go.set()
        own = Exchange(guarded(behind, limits))
        for part, more in ((b"1234", True), (b"5678", True), (b"9", False)):
            own.incoming.put_nowait(
                {"type": "http.request", "body": part, "more_body": more}
            )
        return await own.run(), behind.bodies

    assert asyncio.run(in_parts()) == (200, [b"123456789"])


def test_a_body_that_never_ends_is_given_up() -> None:
    async def run() -> tuple[int, str]:
        own = Exchange(guarded(Behind(), ApiLimits(seconds=0.05)))
        part = {"type": "http.request", "body": b"{", "more_body": True}
        own.incoming.put_nowait(part)
        return await asyncio.wait_for(own.run(), 30), own.json["detail"]

    assert asyncio.run(run()) == (408, "A request must arrive within 0.05 seconds.")


def test_a_client_that_leaves_while_it_sends_is_forgotten() -> None:
    async def run() -> tuple[int, int, list[bytes]]:
        behind = Behind()
        guard = guarded(behind)
        own = Exchange(guard)
        part = {"type": "http.request", "body": b"{", "more_body": True}
        own.incoming.put_nowait(part)
        own.leave()
        return await asyncio.wait_for(own.run(), 30), guard.inside, behind.bodies

    assert asyncio.run(run()) == (0, 0, [])


def test_requests_under_way_have_a_limit() -> None:
    async def run() -> None:
        behind = Behind()
        guard = guarded(behind, ApiLimits(waiting=2))
        first = [asyncio.create_task(Exchange(guard, b"{}").run()) for _ in range(2)]
        while guard.inside < 2:
            await asyncio.sleep(0.001)
        refused = Exchange(guard, b"{}")
        assert await refused.run() == 503
        assert (b"retry-after", b"1") in refused.sent[0]["headers"]
        behind.go.set()
        assert await asyncio.gather(*first) == [200, 200]
        assert guard.inside == 0 and await Exchange(guard, b"{}").run() == 200

    asyncio.run(asyncio.wait_for(run(), 30))


@pytest.mark.parametrize("name", ["characters", "texts", "waiting", "seconds", "bytes"])
def test_limits_under_which_nothing_is_answered(name: str) -> None:
    for value in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"`{name}` must be a number above 0"):
            ApiLimits(**{name: value})


def test_a_request_has_no_more_texts_than_the_queue() -> None:
    assert ApiLimits(waiting=3).most_texts == 3
    assert ApiLimits(waiting=300, texts=5).most_texts == 5
