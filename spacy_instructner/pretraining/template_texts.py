"""Texts made of templates: annotated data without a data set. Source: ours.

A file holds one JSON object:

    {"labels": {"city": {"names": ["city"], "definitions": ["where one flies to"]}},
     "lists":  {"city": ["Oslo", "<saint> Gallen"], "saint": ["Saint", "St."]},
     "texts":  ["[please ](book|find) a flight to {city}", "to {city:goal} from {city:start}"]}

`{city}` is replaced by an entry of the list "city" and becomes an entity of the label
"city"; `{city:goal}` becomes an entity of the label "goal". `<city>` is replaced, and is
no entity. Of `(a|b|c)` one is taken, of `[a|b]` one or none. All of these may hold
others, except that an entity holds no entity.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..char_spans import CharSpan
from ..formats.text_files import read_json

# An innermost choice: it holds no other choice.
CHOICE = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")
LIST = re.compile(r"<([^<>{}]+)>|\{([^<>{}:]+)(?::([^<>{}:]+))?\}")
DEEPEST = 20

# A text and its entities.
TemplateText = tuple[str, list[CharSpan]]


@dataclass(frozen=True)
class Templates:
    """A file of templates.

    labels: the wording of each label, as in the file; lists: what may replace the name of
    a list; texts: the templates."""

    labels: Mapping[str, Any]
    lists: Mapping[str, Sequence[str]]
    texts: Sequence[str]

    def make(self, rng: random.Random) -> TemplateText:
        """A text of a template drawn at random. Words are separated by single spaces, as a
        part that is left out may leave two. Raises ValueError for a list that does not
        exist, lists that hold each other, and an entity that is empty or holds
        another."""
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

    def _fill(self, template: str, rng: random.Random, depth: int) -> TemplateText:
        if depth > DEEPEST:
            raise ValueError(f"the lists hold each other without end, at {template!r}")
        template = take_choices(template, rng)
        text, at, entities = "", 0, []
        for found in LIST.finditer(template):
            text += template[at : found.start()]
            at = found.end()
            plain, marked, label = found.groups()
            filled, inside = self._fill(
                rng.choice(self._list(plain or marked)), rng, depth + 1
            )
            if marked:
                filled = filled.strip()
                if inside or not filled:
                    raise ValueError(
                        f"the list {marked!r} makes an entity that is empty or holds others"
                    )
                inside = [(0, len(filled), label or marked)]
            start = len(text)
            entities += [(start + a, start + b, name) for a, b, name in inside]
            text += filled
        text += template[at:]
        return text, entities

    def _list(self, name: str) -> Sequence[str]:
        if name not in self.lists:
            raise ValueError(f"there is no list {name!r}")
        return self.lists[name]


def take_choices(template: str, rng: random.Random) -> str:
    """A template after all choices are taken, the innermost first."""

    def chosen(found: "re.Match[str]") -> str:
        either, maybe = found.groups()
        if either is None and rng.random() < 0.5:
            return ""
        return rng.choice((maybe if either is None else either).split("|"))

    while CHOICE.search(template):
        template = CHOICE.sub(chosen, template)
    return template


def read_templates(path: Path) -> Templates:
    """Read a file of templates. Raises OSError for a missing file, and ValueError for a
    file of another shape, for a list that does not exist, for brackets that do not match,
    and where "labels" are not those of the entities."""
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
        raise ValueError(f"{path} has no texts, or an empty list.")
    missing, marked = set(), set()
    for line in everything:
        for plain, entity, label in LIST.findall(line):
            if (plain or entity) not in read.lists:
                missing.add(plain or entity)
            if entity:
                marked.add(label or entity)
        if set("<>{}()[]|") & set(LIST.sub("", take_choices(line, random.Random(0)))):
            raise ValueError(
                f"{path}: a bracket is not closed, or closed twice, in {line!r}."
            )
    if missing:
        raise ValueError(f"{path} has no lists {sorted(missing)}.")
    if marked != set(read.labels):
        raise ValueError(
            f'The "labels" and the entities of {path} differ in: '
            f"{sorted(marked ^ set(read.labels))}."
        )
    return read


def make_texts(templates: Templates, count: int, seed: int) -> list[TemplateText]:
    """`count` texts, no two of them equal; fewer where the templates make no more."""
    rng = random.Random(seed)
    made: dict[str, TemplateText] = {}
    for _ in range(4 * count):
        text, entities = templates.make(rng)
        made.setdefault(text, (text, entities))
        if len(made) == count:
            break
    return list(made.values())
