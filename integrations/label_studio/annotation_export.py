"""A project's annotations from Label Studio's API. Source: ours, after its documentation."""

import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

# Until Label Studio has put a project together.
SECONDS = 60.0


class LabelStudioClient:
    """Asks one Label Studio, whose address its user gave: never one that a request names.

    url: of Label Studio; token: a personal access token, or a legacy token; "" to use the
    token that Label Studio itself sends with `/setup`."""

    def __init__(self, url: str, token: str = "") -> None:
        """Raises ValueError for what is no address of a web server."""
        if not url.startswith(("http://", "https://")):
            raise ValueError(
                f"Label Studio's address begins with http://, not {url!r}."
            )
        self.url, self.token = url.rstrip("/"), token

    def annotated_tasks(self, project: int, given_token: str = "") -> list[Any]:
        """The annotated tasks of a project, as Label Studio exports them. Raises OSError
        where it does not answer, or refuses."""
        token = self.token or given_token
        if not token:
            raise OSError(
                "Label Studio's annotations need a token. Give one in the environment "
                "variable LABEL_STUDIO_API_KEY."
            )
        path = (
            f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=false"
        )
        found = self._json(path, None, self._authorization(token))
        if not isinstance(found, list):
            raise OSError(f"{self.url}{path} is no list of tasks.")
        return found

    def _authorization(self, token: str) -> str:
        """A personal access token is a JSON Web Token, for which a short one is given."""
        if token.count(".") != 2:
            return f"Token {token}"
        answer = self._json("/api/token/refresh", {"refresh": token})
        return f"Bearer {answer['access']}"

    def _json(self, path: str, body: Any = None, authorization: str = "") -> Any:
        headers = {"content-type": "application/json"}
        if authorization:
            headers["authorization"] = authorization
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", data, headers)
        try:
            with urlopen(request, timeout=SECONDS) as answer:
                return json.load(answer)
        except HTTPError as error:
            said = error.read(500).decode("utf8", "replace")
            raise OSError(
                f"Label Studio refuses {self.url}{path}: {error.code}, {said}"
            ) from error
        except (URLError, TimeoutError) as error:
            raise OSError(
                f"Label Studio does not answer at {self.url}: {error}. Name its address "
                "with --label-studio."
            ) from error
        except ValueError as error:
            raise OSError(f"{self.url}{path} does not answer with JSON.") from error
