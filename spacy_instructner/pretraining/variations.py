"""Annotated texts as plain data, and what is changed in them: case, punctuation, number of
sentences. Source: ours."""

import operator
import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import get_words_and_spaces

from ..char_spans import CharSpan
from ..data.blank_docs import without_annotation
from ..tasks.base import Entity
from ..tasks.labels import LABELS_KEY
from .template_texts import TemplateText
from .word_cuts import WordCutter, word_cutter

# What stands in the place of a masked entity: a blank, as in a form.
MASK = "___"
# The name and the definition of each label that a text asks for, by label: {"name",
# "definition"}.
AskedLabels = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Text:
    """An annotated text.

    words: the words; spaces: whether a space follows each word; entities: start word, end
    word (exclusive) and label of each entity, in text order."""

    words: tuple[str, ...]
    spaces: tuple[bool, ...]
    entities: tuple[Entity, ...]

    @property
    def labels(self) -> list[str]:
        """The labels of its entities, each once, in text order."""
        return list(dict.fromkeys(label for _, _, label in self.entities))


def text_of_doc(doc: Doc) -> Text:
    """An annotated Doc as plain data."""
    return Text(
        tuple(token.text for token in doc),
        tuple(bool(token.whitespace_) for token in doc),
        tuple((ent.start, ent.end, ent.label_) for ent in doc.ents),
    )


def text_of_template(made: TemplateText, nlp: Language) -> Text:
    """A text made of a template, cut by a pipeline's tokenizer; see `text_of_spans`."""
    return text_of_spans(*made, word_cutter(nlp.lang or "xx", nlp))


def text_of_spans(text: str, entities: Sequence[CharSpan], cut: WordCutter) -> Text:
    """A text with entities by characters, as words. It is cut at the borders of its
    entities, too, so that an entity at the end of a sentence is not in one word with the
    full stop.

    text (str): the text.
    entities (Sequence[CharSpan]): in text order, without overlap, and without white space
        at their ends.
    cut (WordCutter): cuts what lies between two borders.
    RETURNS (Text): with as many entities, in the same order."""
    borders = sorted({0, len(text), *(at for entity in entities for at in entity[:2])})
    pieces = [text[a:b] for a, b in zip(borders, borders[1:])]
    words, spaces = get_words_and_spaces(
        [word for piece in pieces for word in cut(piece)], text
    )
    ends = list(accumulate(map(operator.add, map(len, words), spaces)))
    starts = [0, *ends]
    return Text(
        tuple(words),
        tuple(spaces),
        tuple(
            (bisect_left(starts, start), bisect_left(ends, end) + 1, label)
            for start, end, label in entities
        ),
    )


def join(texts: Sequence[Text]) -> Text:
    """Several texts as one, with a space between each two."""
    words: list[str] = []
    spaces: list[bool] = []
    entities: list[Entity] = []
    for text in texts:
        begin = len(words)
        if spaces:
            spaces[-1] = True
        words.extend(text.words)
        spaces.extend(text.spaces)
        entities += [(begin + a, begin + b, label) for a, b, label in text.entities]
    return Text(tuple(words), tuple(spaces), tuple(entities))


def lowered(text: Text, without_punctuation: bool) -> Text:
    """A text in lower case.

    without_punctuation: whether words without a letter or digit are left out, outside of
    entities; all words are then followed by a space."""
    words = tuple(word.lower() for word in text.words)
    if not without_punctuation:
        return Text(words, text.spaces, text.entities)
    inside = {at for start, end, _ in text.entities for at in range(start, end)}
    kept = [
        at
        for at, word in enumerate(words)
        if at in inside or any(letter.isalnum() for letter in word)
    ]
    place = {at: new for new, at in enumerate(kept)}
    return Text(
        tuple(words[at] for at in kept),
        (True,) * len(kept),
        tuple((place[a], place[b - 1] + 1, label) for a, b, label in text.entities),
    )


def masked(text: Text, rng: random.Random) -> Text:
    """A text with a blank (`MASK`) in the place of about every second entity, so that what
    stands around it has to tell what it is (as OpenBioNER does). The number and order of
    entities stay."""
    words: list[str] = []
    spaces: list[bool] = []
    entities: list[Entity] = []
    done = 0
    for start, end, label in text.entities:
        words += text.words[done:start]
        spaces += text.spaces[done:start]
        begin, done = len(words), end
        if rng.random() < 0.5:
            words.append(MASK)
            spaces.append(text.spaces[end - 1])
        else:
            words += text.words[start:end]
            spaces += text.spaces[start:end]
        entities.append((begin, len(words), label))
    words += text.words[done:]
    spaces += text.spaces[done:]
    return Text(tuple(words), tuple(spaces), tuple(entities))


def make_example(nlp: Language, text: Text, asked: AskedLabels) -> Example:
    """A text that asks for labels by these names and definitions, and its entities of
    these labels."""
    doc = Doc(nlp.vocab, words=list(text.words), spaces=list(text.spaces))
    entities = [Span(doc, a, b, label=label) for a, b, label in text.entities]
    doc.set_ents([ent for ent in entities if ent.label_ in asked], default="outside")
    predicted = without_annotation(doc)
    predicted.user_data[LABELS_KEY] = dict(asked)
    return Example(predicted, doc)
