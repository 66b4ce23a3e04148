"""What labels are called, and what is said of them. Source: ours."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formats.text_files import read_json
from ..tasks.labels import default_name, plain


@dataclass(frozen=True)
class LabelWording:
    """What a label may be called, and its definitions: one of each at least. A definition
    may be "", where nothing is said."""

    names: Sequence[str]
    definitions: Sequence[str]


def first_words(label: str, wording: Mapping[str, LabelWording]) -> dict[str, str]:
    """The first name and the first definition of a label: {"name", "definition"}."""
    own = wording_of(label, wording)
    return {"name": own.names[0], "definition": own.definitions[0]}


def wording_of(label: str, wording: Mapping[str, LabelWording]) -> LabelWording:
    """The wording of a label; where there is none, its default name and no definition."""
    return wording.get(label) or LabelWording((default_name(label),), ("",))


def draw_words(
    own: LabelWording,
    called: str,
    rng: random.Random,
    own_words: float,
    undefined: float,
) -> tuple[str, str]:
    """A name and a definition of a label, "" where nothing is said.

    own (LabelWording): of the label.
    called (str): the name that goes with the first definition.
    rng (Random): of the draw.
    own_words, undefined (float): see `spacy-instructner.LabelVariety.v1`."""
    if rng.random() < own_words:
        name, definition = called, own.definitions[0]
    else:
        name, definition = rng.choice(own.names), rng.choice(own.definitions)
        name = rng.choices((name, name.title(), name.upper()), (8, 1, 1))[0]
    return name, "" if rng.random() < undefined else definition


def read_wording(path: Path) -> dict[str, LabelWording]:
    """The wording of each label in a JSON file. Raises OSError for a missing file, and
    ValueError for a file of another shape."""
    return make_wording(read_json(Path(path)), path)


def make_wording(labels: Any, path: Path) -> dict[str, LabelWording]:
    """The wording of each label, as a file has it. Raises ValueError for another shape.

    labels (Any): {label: {"names", "definitions"}}.
    path (Path): of the file, for errors."""
    try:
        return {
            label: LabelWording(_lines(own["names"]), _lines(own["definitions"]))
            for label, own in labels.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} must hold {{label: {{"names": […], "definitions": […]}}}}, with one '
            f"text at least in each list: {error!r}"
        ) from error


def _lines(texts: Any) -> list[str]:
    """Texts, each on one line. Raises ValueError for anything but texts."""
    if not isinstance(texts, list) or not texts:
        raise ValueError(f"{texts!r} is not a list of texts")
    found = [plain(text) for text in texts if isinstance(text, str)]
    if len(found) < len(texts) or not all(found):
        raise ValueError(f"not all of {texts!r} are texts")
    return found
