"""InstructionNER without the grammar: what does constrained decoding buy?

Trained as ever, answered by greedy `generate()`, and the answer read as a string, as
public code of the method reads it: cut at the separators, types that are not among the
options dropped, an entity taken where its words first stand and no other is yet."""

import re
from collections.abc import Iterable, Sequence

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import load_config

from spacy_instructner.data.corpora import without_annotation
from spacy_instructner.evaluation.support_set import train_on
from spacy_instructner.fewshot.runs import Annotate

from ..speed.decoding import generate, ready, requests_of
from ..speed.models import CONFIGS

CLAUSE = re.compile(r"(.+) is an? (.+)", re.DOTALL)


def fit(
    nlp: Language,
    support: Sequence[Doc],
    seed: int,
    config: str = "instructionner.cfg",
    batch_size: int = 32,
) -> Annotate:
    """config: in the project's configs; batch_size: prompts in a call of generate()."""
    trained = train_on(load_config(CONFIGS / config), support, {"system.seed": seed})
    pipe = trained.get_pipe("instruction_ner")
    named = {words["name"]: label for label, words in pipe.label_words.items()}
    backbone = ready(trained)

    def annotate(docs: Iterable[Doc]) -> Iterable[Doc]:
        docs = list(docs)
        own = [without_annotation(doc) for doc in docs]
        answers = generate(backbone, requests_of(trained, own), batch_size)
        for doc, ids in zip(docs, answers, strict=True):
            said = backbone.tokenizer.decode(ids, skip_special_tokens=True)
            doc.set_ents(spans_of(doc, said, named), default="outside")
        return docs

    return annotate


def spans_of(doc: Doc, answer: str, named: dict[str, str]) -> list[Span]:
    """The entities of an answer. named: labels by their words."""
    found: list[Span] = []
    taken = [False] * len(doc.text)
    for clause in answer.strip().removesuffix(".").split(", "):
        match = CLAUSE.fullmatch(clause.strip())
        if match is None or match[2].strip() not in named:
            continue
        words = match[1].strip()
        for place in re.finditer(re.escape(words), doc.text):
            span = doc.char_span(*place.span(), label=named[match[2].strip()])
            if span is not None and not any(taken[place.start() : place.end()]):
                found.append(span)
                taken[place.start() : place.end()] = [True] * len(words)
                break
    return found
