"""Texts made of templates: labelled data that we may write ourselves. Source: ours.

A file holds one JSON object:

    {"labels": {"city": {"names": ["city"], "definitions": ["where one flies to"]}},
     "lists":  {"city": ["Oslo", "<saint> Gallen"], "saint": ["Saint", "St."]},
     "texts":  ["[please ](book|find) a flight to {city}", "to {city:goal} from {city:start}"]}

`{city}` is replaced by an entry of that list and becomes an entity of that label,
`{city:goal}` one of another label; `<city>` is replaced alone; of `(a|b|c)` one is taken,
`[a|b]` one or none. All of them may hold others, except that an entity has none inside.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formats.text_files import read_json

# The innermost group: what it holds has no group inside any more.
CHOICE = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")
LIST = re.compile(r"<([^<>{}]+)>|\{([^<>{}:]+)(?::([^<>{}:]+))?\}")
DEEPEST = 20

# Text, and (first character, one past the last, label) of each entity.
Made = tuple[str, list[tuple[int, int, str]]]


@dataclass(frozen=True)
class Templates:
    """labels: what each may be called, as in the file; lists: what stands for a name;
    texts: the templates."""

    labels: Mapping[str, Any]
    lists: Mapping[str, Sequence[str]]
    texts: Sequence[str]

    def make(self, rng: random.Random) -> Made:
        """One text of a template drawn at random, with single spaces: a part that is
        left out may leave two."""
        text, entities = self._fill(rng.choice(self.texts), rng, 0)
        words = list(re.finditer(r"\S+", text))
        place: dict[int, int] = {}
        length = 0
        for word in words:
            place |= {word.start() + at: length + at for at in range(len(word[0]))}
            length += len(word[0]) + 1
        return " ".join(word[0] for word in words), [
            (place[start], place[end - 1] + 1, label) for start, end, label in entities
        ]

    def _fill(self, template: str, rng: random.Random, depth: int) -> Made:
        if depth > DEEPEST:
            raise ValueError(f"lists hold each other without end, at {template!r}")
        template = choose(template, rng)
        text, at, entities = "", 0, []
        for found in LIST.finditer(template):
            text += template[at : found.start()]
            at = found.end()
            plain, marked, label = found.groups()
            said, inside = self._fill(
                rng.choice(self._list(plain or marked)), rng, depth + 1
            )
            if marked:
                said = said.strip()
                if inside or not said:
                    raise ValueError(
                        f"the list {marked!r} makes an entity that is empty, or has others"
                    )
                inside = [(0, len(said), label or marked)]
            start = len(text)
            entities += [(start + a, start + b, name) for a, b, name in inside]
            text += said
        text += template[at:]
        return text, entities

    def _list(self, name: str) -> Sequence[str]:
        if name not in self.lists:
            raise ValueError(f"there is no list {name!r}")
        return self.lists[name]


def choose(template: str, rng: random.Random) -> str:
    """A template without choices, the innermost made first."""

    def chosen(found: "re.Match[str]") -> str:
        either, maybe = found.groups()
        if either is None and rng.random() < 0.5:
            return ""
        return rng.choice((maybe if either is None else either).split("|"))

    while CHOICE.search(template):
        template = CHOICE.sub(chosen, template)
    return template


def read_templates(path: Path) -> Templates:
    """Raises OSError for a missing file and ValueError for one of another shape, for a
    list that is not there, and for labels that no template has."""
    found = read_json(Path(path))
    try:
        read = Templates(found["labels"], found["lists"], found["texts"])
        everything = [
            *read.texts,
            *(line for own in read.lists.values() for line in own),
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} must hold one JSON object with "labels", "lists" and "texts": '
            f"{error!r}"
        ) from error
    if not read.texts or not all(read.lists.values()):
        raise ValueError(f"{path} has an empty list, or no texts.")
    missing, marked = set(), set()
    for line in everything:
        for plain, entity, label in LIST.findall(line):
            if (plain or entity) not in read.lists:
                missing.add(plain or entity)
            if entity:
                marked.add(label or entity)
        if set("<>{}()[]|") & set(LIST.sub("", choose(line, random.Random(0)))):
            raise ValueError(
                f"{path}: a bracket is open, or closed twice, in {line!r}."
            )
    if missing:
        raise ValueError(f"{path} has no lists {sorted(missing)}.")
    if marked != set(read.labels):
        raise ValueError(
            f'"labels" and entities of {path} differ: {sorted(marked ^ set(read.labels))}.'
        )
    return read


def make_texts(templates: Templates, count: int, seed: int) -> list[Made]:
    """So many texts, each once; fewer where the templates hold no more."""
    rng = random.Random(seed)
    made: dict[str, Made] = {}
    for _ in range(4 * count):
        text, entities = templates.make(rng)
        made.setdefault(text, (text, entities))
        if len(made) == count:
            break
    return list(made.values())
