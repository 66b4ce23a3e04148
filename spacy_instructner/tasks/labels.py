"""Labels and the words that stand for them in prompts and answers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from spacy.tokens import Doc

from ..formats.text_files import UTF8, read_json
from .known_labels import KnownLabel, known_label

# Labels; or each with what it means, or with "name" and "definition".
Labels = Sequence[str] | Mapping[str, str | Mapping[str, str]]
# In `Doc.user_data`: the labels of this Doc, in place of the component's.
LABELS_KEY = "instruction_ner_labels"


@dataclass(frozen=True)
class LabelSet:
    """labels: as they are written on the Doc, in the order they are asked;
    names: the words for each, in the same order; definitions: what it means,
    "" where there is none; defined: whether somebody gave a definition (those of
    known labels are not given)."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    definitions: tuple[str, ...]
    defined: bool


def default_name(label: str) -> str:
    """CREATIVE_WORK -> creative work. Source: ours."""
    return plain(label.replace("_", " ").replace("-", " ").lower())


def plain(text: str) -> str:
    """A text on one line, with single spaces."""
    return " ".join(text.split())


def make_label_set(
    labels: Iterable[str],
    names: Mapping[str, str],
    definitions: Mapping[str, str],
    known_labels: bool = False,
) -> LabelSet:
    """Labels with their words.

    names, definitions: what was given, by label; known_labels: whether a label without a
    name gets the words of the table of known labels. A definition of the table goes with
    the table's name: it may contradict another one.
    Raises ValueError for a label without words, one given twice, and two labels with the
    same words."""
    found = _checked(labels)
    own = {label: plain(names.get(label, "")) for label in found}
    called = {label: own[label] or default_name(label) for label in found}
    known: dict[str, KnownLabel] = {}
    if known_labels:
        known = _known_words(called, [label for label in found if not own[label]])
    called |= {label: words.name for label, words in known.items()}
    _check_names(called)
    given = [plain(definitions.get(label, "")) for label in found]
    return LabelSet(
        labels=tuple(found),
        names=tuple(called.values()),
        definitions=tuple(
            meaning or (known[label].definition if label in known else "")
            for label, meaning in zip(found, given)
        ),
        defined=any(given),
    )


def _checked(labels: Iterable[str]) -> list[str]:
    """Labels as a list. Raises ValueError for what is no label, and one given twice."""
    if isinstance(labels, str):
        raise ValueError(f"`labels` is a list of labels, not one text: {labels!r}.")
    found: list[str] = []
    for label in labels:
        if not isinstance(label, str) or not label.strip():
            raise ValueError(
                f"A label must be a text with at least one letter, not {label!r}."
            )
        if label in found:
            raise ValueError(f"The label {label!r} is given twice in `labels`.")
        found.append(label)
    return found


def _known_words(
    called: Mapping[str, str], open_: Iterable[str]
) -> dict[str, KnownLabel]:
    """The table's words for labels, without those by which a label would be called like
    another one: such a label keeps its default name.

    called: the names of all labels without the table; open_: the labels that nobody gave a
    name."""
    known = {label: words for label in open_ if (words := known_label(label))}
    while True:
        # A label that keeps its default name may be called like the next one.
        names = {**called, **{label: words.name for label, words in known.items()}}
        count = Counter(name.lower() for name in names.values())
        alike = [label for label in known if count[names[label].lower()] > 1]
        if not alike:
            return known
        for label in alike:
            del known[label]


def _check_names(called: Mapping[str, str]) -> None:
    """called: names by label. Raises ValueError for an empty name, and for one that two
    labels have."""
    words: dict[str, str] = {}
    for label, name in called.items():
        if not name:
            raise ValueError(
                f"The label {label!r} has no words to ask for it with. Give it some "
                f'in `label_names`, as {{{label!r}: "words"}}.'
            )
        if name.lower() in words:
            raise ValueError(
                f"The labels {words[name.lower()]!r} and {label!r} are both called "
                f"{name!r} in prompts, so an answer could not tell them apart. Give "
                "one of them other words in `label_names`."
            )
        words[name.lower()] = label


def with_own_words(
    labels: Labels,
    names: Mapping[str, str],
    definitions: Mapping[str, str],
    known_labels: bool = False,
) -> LabelSet:
    """As `make_label_set`, with the words that labels bring first. An empty text brings
    nothing. Raises ValueError for words of another kind than name and definition, too."""
    own: dict[str, dict[str, str]] = {
        "name": dict(names),
        "definition": {**definitions},
    }
    for label, given in labels.items() if isinstance(labels, Mapping) else ():
        words = given if isinstance(given, Mapping) else {"definition": given}
        for kind, text in words.items():
            if kind not in own or not isinstance(text, str):
                raise ValueError(
                    f"The label {label!r} can bring its meaning as a text, or "
                    f'{{"name": …, "definition": …}}, but not {given!r}.'
                )
            if text:
                own[kind][label] = text
    return make_label_set(labels, own["name"], own["definition"], known_labels)


def labels_of(doc: Doc) -> Labels | None:
    """The labels that a Doc brings with it, if it does. Raises ValueError for what is
    neither a list of labels nor a mapping, and for an empty one."""
    own = doc.user_data.get(LABELS_KEY)
    if own is not None and (not isinstance(own, (list, tuple, dict)) or not own):
        raise ValueError(
            f"Doc.user_data[{LABELS_KEY!r}] must be a list of labels, or a dict of what "
            f"they mean, with one label at least, not {own!r}."
        )
    return own


def unknown_labels(labels: Iterable[str], known: Iterable[str]) -> list[str]:
    """Those of `labels` that are not known, in order."""
    have = set(known)
    return [label for label in labels if label not in have]


def unasked_words(
    labels: Sequence[str], **words: Mapping[str, str] | None
) -> list[str]:
    """What is wrong with words for labels that are not there, a sentence for each.

    labels: those that are there; words: for labels, by the name of the setting."""
    found: list[str] = []
    for setting, by_label in words.items():
        for label in unknown_labels(by_label or {}, labels):
            sentence = f"`{setting}` has {label!r}, which is none of the labels"
            folded = {_folded(each): each for each in reversed(labels)}
            near = get_close_matches(_folded(label), folded, n=1)
            hint = f": is {folded[near[0]]!r} meant?" if near else "."
            found.append(sentence + hint)
    return found


def _folded(label: str) -> str:
    return default_name(label).casefold()


def read_words_v1(
    path: Path | None = None, encoding: str = UTF8
) -> dict[str, str] | None:
    """Registered as `spacy-instructner.LabelWords.v1`.

    path (Optional[Path]): a JSON file with an object, label to words.
    encoding (str): of the file, as Python calls it.
    RETURNS (Optional[Dict[str, str]]): words by label; None without a path. Raises
        OSError for a missing file, and ValueError for one of another shape, with the
        line where it is not JSON.
    """
    if path is None:
        return None
    words = read_json(Path(path), encoding)
    if not isinstance(words, dict) or not all(
        isinstance(text, str) for text in words.values()
    ):
        raise ValueError(
            f'{path} must hold one JSON object, label to words: {{"PERSON": "…"}}.'
        )
    return words
