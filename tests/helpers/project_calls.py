"""What a page asks the server of its project."""

import json
from typing import Any

API = "/api/project"


def post(client: Any, path: str, **body: Any) -> Any:
    answer = client.post(API + path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(client: Any, path: str = "", **query: Any) -> Any:
    answer = client.get(API + path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def upload(client: Any, name: str, content: bytes, **query: Any) -> Any:
    own = {"content-type": "application/octet-stream"}
    query = {"name": name, **query}
    return client.post(f"{API}/import", params=query, content=content, headers=own)


def follow(client: Any) -> list[dict[str, Any]]:
    answer = client.get(f"{API}/job")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def refused(answer: Any, status: int, said: str) -> None:
    assert answer.status_code == status, answer.text
    assert said in json.dumps(answer.json(), ensure_ascii=False)


def accept(client: Any, text: int, *spans: tuple[str, str]) -> int:
    own = get(client, f"/texts/{text}")
    places = [
        {
            "start": own["text"].index(words),
            "end": own["text"].index(words) + len(words),
            "label": label,
        }
        for words, label in spans
    ]
    more = {"answer": "accept", "changed": True, "seen": own["seen"]}
    return int(post(client, "/decide", text=text, spans=places, **more)["event"])
