"""Texts that ask for labels which pretraining never sees, to score by. Source: ours."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from spacy.language import Language
from spacy.training import Example

from .text_sources import check_known, is_templates, make_source, read_texts
from .variations import AskedLabels, Text, make_example
from .wording import first_words, read_wording


def build_held_out_v1(
    sources: dict[str, Path],
    wording: Path,
    labels: list[str],
    texts: int = 200,
    seed: int = 0,
    empty: float = 0.2,
) -> "HeldOut":
    """Registered as `spacy-instructner.HeldOut.v1`.

    sources, wording: see `spacy-instructner.LabelVariety.v1`.
    labels (list[str]): the labels that are asked for. A text is asked for those that its
        file has; a text made of templates is asked for all that its file has.
    texts (int): number of texts; as many of each source, where it has them.
    seed (int): of the draw.
    empty (float): share of texts without an answer.
    RETURNS (HeldOut): reads Examples with only these labels, by their first name and
        first definition. Raises ValueError, when it reads, for a label that no file has,
        and for files as `read_texts`, `read_wording` and `read_templates`.
    """
    return HeldOut(sources, wording, tuple(labels), texts, seed, empty)


@dataclass(frozen=True)
class HeldOut:
    """See `build_held_out_v1`."""

    sources: Mapping[str, Path]
    wording: Path
    labels: tuple[str, ...]
    texts: int
    seed: int
    empty: float

    def __call__(self, nlp: Language) -> Iterator[Example]:
        wording = read_wording(self.wording)
        rng = random.Random(self.seed)
        answered: list[list[tuple[Text, AskedLabels]]] = []
        empty: list[list[tuple[Text, AskedLabels]]] = []
        known: set[str] = set()
        for path in self.sources.values():
            if is_templates(path):
                texts, words = make_source(path, nlp, 2 * self.texts, self.seed)
                asked = list(words)
            else:
                texts, words = read_texts(path, nlp), wording
                have = {label for text in texts for label in text.labels}
                asked = [label for label in self.labels if label in have]
                known |= have
            if not asked:
                continue
            worded: AskedLabels = {label: first_words(label, words) for label in asked}
            rng.shuffle(texts)
            has = [bool(set(text.labels) & set(asked)) for text in texts]
            answered.append([(text, worded) for text, own in zip(texts, has) if own])
            empty.append([(text, worded) for text, own in zip(texts, has) if not own])
        check_known(self.labels, known)
        without = round(self.texts * self.empty)
        for rows, most in ((answered, self.texts - without), (empty, without)):
            in_turn = [row for rank in zip_longest(*rows) for row in rank if row]
            for text, worded in in_turn[:most]:
                yield make_example(nlp, text, worded)
