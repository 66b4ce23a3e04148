"""Where `serve` listens. Light to import."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """host, port: where to listen; names: of this machine in requests, "*" for any; token: what
    requests must bring, None for nothing."""

    host: str
    port: int
    names: list[str]
    token: str | None

    @property
    def url(self) -> str:
        """The address, without the token."""
        return f"http://{in_address(self.host)}:{self.port}"


def in_address(host: str) -> str:
    """A host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
