"""What a project's labeling configuration asks for. Source: ours, after Label Studio's
documentation of its tags."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

# The task's own data, by its key.
VARIABLE = re.compile(r"\$(\S+)")


@dataclass(frozen=True)
class SpanTag:
    """A Labels tag over a Text tag: one set of labels for one text of each task.

    name, to_name: of the two tags, as results name them; key: of the text in a task's
    data; labels: in their order, each with "name" and "definition", "" where there is
    none."""

    name: str
    to_name: str
    key: str
    labels: dict[str, dict[str, str]]


def read_labeling_config(config: str) -> list[SpanTag]:
    """The span tags of a labeling configuration, in its order.

    A label is called by its alias, where it has one: then its value says in words what is
    looked for. Its hint says what it means. Colours and keys say nothing about meaning.
    Raises ValueError for what is not XML, and where there is nothing to look for in a
    text."""
    # Entities could be made to expand without end. Label Studio writes none.
    if "<!" in re.sub(r"<!--.*?-->", "", config, flags=re.S):
        raise ValueError("The labeling configuration must have no document type.")
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise ValueError(f"The labeling configuration is not XML: {error}.") from error
    texts = dict(_texts(root))
    found = []
    for tag in root.iter("Labels"):
        labels = _labels(tag)
        for to_name in filter(None, map(str.strip, tag.get("toName", "").split(","))):
            if to_name in texts and labels:
                key = texts[to_name]
                found.append(SpanTag(tag.get("name", ""), to_name, key, labels))
    if not found:
        raise ValueError(
            "The labeling configuration has no Labels tag, with Label tags inside, over a "
            'Text tag such as <Text name="text" value="$text"/>. Other kinds of data and '
            "labels are not predicted."
        )
    return found


def _texts(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """The name of each Text tag, and the key of its text. A text that stands behind an
    address is none: nothing is fetched for a task."""
    for tag in root.iter("Text"):
        variable = VARIABLE.fullmatch(tag.get("value", "").strip())
        if variable and tag.get("valueType", "text") != "url":
            yield tag.get("name", ""), variable[1]


def _labels(tag: ElementTree.Element) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for label in tag.iter("Label"):
        value, alias = label.get("value", "").strip(), label.get("alias", "").strip()
        if value or alias:
            words = {
                "name": value if alias else "",
                "definition": label.get("hint", ""),
            }
            found[alias or value] = words
    return found
