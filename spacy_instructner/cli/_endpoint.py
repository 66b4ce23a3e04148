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
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}"
