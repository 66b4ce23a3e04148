"""One chunk of texts, annotated: a function of the chunk alone, for any engine."""

import hashlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Literal,
    Sequence,
    Tuple,
    Union,
)

import numpy
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ..files import to_lines
from ..scores import Scored
from ..supports import scored_of
from ..windows import counted
from .texts import Item, pack, pieces, repaired

Format = Literal["jsonl", "spacy"]


@dataclass(frozen=True)
class Options:
    """What an output is made of. format: of the files; with_text: whether rows have
    their text; uncertain: how many texts to offer for correction; batch_size: texts at
    a time."""

    format: Format = "jsonl"
    with_text: bool = False
    uncertain: int = 0
    batch_size: int = 256


@dataclass
class Report:
    """What happened in a chunk. texts; spans, by label; replaced: texts with halves of
    characters, which became U+FFFD; cut: texts over the pipeline's `max_length`, read
    in pieces; unread_tokens: that no model could read; unfinished_answers: that did not
    fit into the model; problems: id and reason of each text that could not be
    annotated."""

    texts: int = 0
    spans: Dict[str, int] = field(default_factory=dict)
    replaced: int = 0
    cut: int = 0
    unread_tokens: int = 0
    unfinished_answers: int = 0
    problems: List[Dict[str, str]] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        self.texts += other.texts
        self.spans = dict(sorted((Counter(self.spans) + Counter(other.spans)).items()))
        self.replaced += other.replaced
        self.cut += other.cut
        self.unread_tokens += other.unread_tokens
        self.unfinished_answers += other.unfinished_answers
        self.problems += other.problems


@dataclass(frozen=True)
class Problem:
    """Why a text could not be annotated. texts: how many were given up for it."""

    why: str
    texts: int = 1


@dataclass(frozen=True)
class Annotated:
    """content: of the chunk's file; uncertain: (lowest score, row) of texts to correct,
    the least certain first."""

    content: bytes
    uncertain: List[Tuple[float, Dict[str, Any]]]
    report: Report


def annotate_chunk(nlp: Language, items: Sequence[Item], options: Options) -> Annotated:
    """Annotate texts. One that fails is a problem of the report, and a row with `error`
    (a .spacy file leaves it out); the others do not suffer from it. What the pipeline
    remembers of the texts is forgotten with them.

    nlp (Language): the pipeline.
    items (Sequence[Item]): the texts.
    options (Options): what to write.
    RETURNS (Annotated): what there is to write."""
    with nlp.memory_zone(), counted() as unread:
        annotated = _annotated(nlp, items, options)
    for each in unread:
        if each.what == "tokens":
            annotated.report.unread_tokens += each.count
        else:
            annotated.report.unfinished_answers += each.count
    return annotated


def _annotated(nlp: Language, items: Sequence[Item], options: Options) -> Annotated:
    report = Report(texts=len(items))
    answers = _annotate(nlp, items, options, report)
    name = pipeline_name(nlp)
    counts: Counter = Counter()
    docs = DocBin(store_user_data=True)
    rows: List[Dict[str, Any]] = []
    uncertain: List[Tuple[float, Dict[str, Any]]] = []
    for item, answer in zip(items, answers):
        row: Dict[str, Any] = {"id": item.id, "pipeline": name}
        rows.append(row)
        if options.format == "spacy" and isinstance(answer, Doc):
            answer.user_data["id"] = item.id
            try:
                docs.merge(pack(answer))
            except Exception as error:
                # Whatever somebody keeps in a Doc.
                answer = Problem(f"it cannot be saved: {error}")
        if isinstance(answer, Problem):
            row["error"] = answer.why
            report.problems.append({"id": item.id, "problem": answer.why})
            continue
        counts.update(ent.label_ for ent in answer.ents)
        spans = scored_of(answer)
        row["spans"] = [_span(span) for span in spans]
        if options.with_text:
            row["text"] = answer.text
        scores = [score for *_, score in spans if score is not None]
        if options.uncertain and scores:
            task = _to_correct(item.id, answer, row["spans"], min(scores))
            uncertain.append((min(scores), task))
    report.spans = dict(sorted(counts.items()))
    uncertain.sort(key=lambda each: each[0])
    content = docs.to_bytes() if options.format == "spacy" else to_lines(rows)
    return Annotated(content, uncertain[: options.uncertain], report)


def _annotate(
    nlp: Language, items: Sequence[Item], options: Options, report: Report
) -> List[Union[Doc, Problem]]:
    """A Doc for each text, or why there is none."""
    numbered = list(enumerate(items))
    answers = _piped(nlp, numbered, options.batch_size)
    for at, item in numbered:
        answer = answers[at]
        if isinstance(answer, Problem) and answer.texts > 1:
            # A component stumbled over one text, and gave all of its batch up.
            answers |= _piped(nlp, [(at, item)], 1)
        report.replaced += not item.doc and repaired(item.text)[1] > 0
        report.cut += not item.doc and len(item.text) > nlp.max_length
    return [answers[at] for at, _ in numbered]


def _piped(
    nlp: Language, items: Sequence[Tuple[int, Item]], batch_size: int
) -> Dict[int, Union[Doc, Problem]]:
    """What becomes of texts, by the number that they are given with."""
    answers: Dict[int, Union[Doc, Problem]] = {}
    found: Dict[int, List[Doc]] = {}
    wanted: Dict[int, int] = {}
    given: List[Tuple[Doc, int]] = []
    for at, item in items:
        try:
            docs = _docs(nlp, item)
        except Exception as error:
            answers[at] = Problem(f"{type(error).__name__}: {error}")
        else:
            found[at], wanted[at] = [], len(docs)
            given += [(doc, at) for doc in docs]

    def failed(name: str, proc: Any, docs: List[Doc], error: Exception) -> None:
        numbers = {doc._context for doc in docs}
        why = f"{name}: {type(error).__name__}: {error}"
        answers.update(dict.fromkeys(numbers, Problem(why, len(numbers))))

    with error_handler(nlp, failed):
        for doc, at in nlp.pipe(given, as_tuples=True, batch_size=batch_size):
            if at is None:
                raise ValueError(
                    "A component gives back other Docs than it gets, so that nobody "
                    "knows whose they are. It must annotate those that it is given."
                )
            found[at].append(doc)
    for at in wanted.keys() - answers.keys():
        if len(found[at]) == wanted[at]:
            answers[at] = found[at][0] if wanted[at] == 1 else _joined(found[at])
        else:
            answers[at] = Problem("a component dropped the text")
    return answers


@contextmanager
def error_handler(nlp: Language, handler: Callable[..., None]) -> Iterator[None]:
    """One handler for the pipeline and all its components, for a while."""
    default = nlp.default_error_handler
    pipes: List[Any] = [pipe for _, pipe in nlp.pipeline]
    own = [(p, p.get_error_handler()) for p in pipes if hasattr(p, "get_error_handler")]
    nlp.set_error_handler(handler)  # type: ignore[arg-type]
    try:
        yield
    finally:
        nlp.set_error_handler(default)
        for pipe, before in own:
            pipe.set_error_handler(before)


def _docs(nlp: Language, item: Item) -> List[Doc]:
    if item.problem:
        raise ValueError(item.problem)
    if item.doc:
        return list(DocBin().from_bytes(item.doc).get_docs(nlp.vocab))
    return [nlp.make_doc(p) for p in pieces(repaired(item.text)[0], nlp.max_length)]


def _joined(docs: Sequence[Doc]) -> Doc:
    """One Doc of the pieces of a text; user data of pieces is left out."""
    given = {"ensure_whitespace": False, "exclude": ["user_data"]}
    whole = Doc.from_docs(list(docs), **given)  # type: ignore[arg-type]
    assert whole is not None
    # spaCy joins span groups, but not what they say of their spans.
    for key, group in whole.spans.items():
        groups = [doc.spans[key] for doc in docs if key in doc.spans]
        if all("scores" in own.attrs for own in groups):
            scores = [numpy.asarray(own.attrs["scores"], "float32") for own in groups]
            group.attrs["scores"] = numpy.concatenate(scores)
    return whole


def pipeline_name(nlp: Language) -> str:
    return f"{nlp.meta['lang']}_{nlp.meta['name']}-{nlp.meta['version']}"


def _span(span: Scored) -> Dict[str, Any]:
    start, end, label, score = span
    known = None if score is None else round(score, 4)
    return {"start": start, "end": end, "label": label, "score": known}


def _to_correct(
    id_: str, doc: Doc, spans: Sequence[Dict[str, Any]], score: float
) -> Dict[str, Any]:
    """A task as Prodigy's ner.manual reads it. spans: rows of the Doc's entities."""
    return {
        "text": doc.text,
        "tokens": [
            {
                "text": token.text,
                "start": token.idx,
                "end": token.idx + len(token),
                "id": token.i,
                "ws": bool(token.whitespace_),
            }
            for token in doc
        ],
        "spans": [
            {**span, "token_start": ent.start, "token_end": ent.end - 1}
            for span, ent in zip(spans, doc.ents)
        ],
        "meta": {"id": id_, "score": round(score, 4)},
    }


def digest(items: Sequence[Item]) -> str:
    """What a chunk was made of."""
    own = hashlib.sha256()
    for item in items:
        for part in (item.id, item.text, item.problem):
            own.update(part.encode("utf8", "surrogatepass"))
            own.update(b"\0")
        own.update(item.doc)
    return own.hexdigest()
