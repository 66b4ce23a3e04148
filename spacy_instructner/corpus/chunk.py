"""One chunk of texts, annotated: a function of the chunk alone, for any engine."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ..evaluation.metrics import Scored
from ..evaluation.support_set import scored_of
from ..files import to_lines
from ..windows import counted
from .piped import Problem, annotate_each
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
    spans: dict[str, int] = field(default_factory=dict)
    replaced: int = 0
    cut: int = 0
    unread_tokens: int = 0
    unfinished_answers: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        self.texts += other.texts
        self.spans = dict(sorted((Counter(self.spans) + Counter(other.spans)).items()))
        self.replaced += other.replaced
        self.cut += other.cut
        self.unread_tokens += other.unread_tokens
        self.unfinished_answers += other.unfinished_answers
        self.problems += other.problems


@dataclass(frozen=True)
class Annotated:
    """content: of the chunk's file; uncertain: (lowest score, row) of texts to correct,
    the least certain first."""

    content: bytes
    uncertain: list[tuple[float, dict[str, Any]]]
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
    answers = annotate_each(
        nlp, [partial(_docs, nlp, item) for item in items], options.batch_size
    )
    name = pipeline_name(nlp)
    counts: Counter = Counter()
    docs = DocBin(store_user_data=True)
    rows: list[dict[str, Any]] = []
    uncertain: list[tuple[float, dict[str, Any]]] = []
    for item, answer in zip(items, answers):
        report.replaced += not item.doc and repaired(item.text)[1] > 0
        report.cut += not item.doc and len(item.text) > nlp.max_length
        row: dict[str, Any] = {"id": item.id, "pipeline": name}
        rows.append(row)
        try:
            written = _written(item, answer, options)
        except Exception as error:
            # Whatever somebody keeps in a Doc, or did to it.
            why = f"it cannot be saved: {type(error).__name__}: {error}"
            written = Problem(why)
        if isinstance(written, Problem):
            row["error"] = written.why
            report.problems.append({"id": item.id, "problem": written.why})
            continue
        row |= written.row
        counts.update(span["label"] for span in row["spans"])
        if written.packed is not None:
            docs.merge(written.packed)
        if written.to_correct is not None:
            uncertain.append(written.to_correct)
    report.spans = dict(sorted(counts.items()))
    uncertain.sort(key=lambda each: each[0])
    content = docs.to_bytes() if options.format == "spacy" else to_lines(rows)
    return Annotated(content, uncertain[: options.uncertain], report)


@dataclass(frozen=True)
class _Written:
    """What there is to write of one text. row: for its row; packed: its Doc, for a
    .spacy file; to_correct: its lowest score, and the task."""

    row: dict[str, Any]
    packed: DocBin | None
    to_correct: tuple[float, dict[str, Any]] | None


def _written(item: Item, answer: Doc | Problem, options: Options) -> _Written | Problem:
    if isinstance(answer, Problem):
        return answer
    # Before it is packed: by this, span groups are where their characters are.
    spans = scored_of(answer)
    packed = None
    if options.format == "spacy":
        answer.user_data["id"] = item.id
        packed = pack(answer)
    row: dict[str, Any] = {"spans": [_span(span) for span in spans]}
    if options.with_text:
        row["text"] = answer.text
    # What is no JSON must fail for this text, not for its file.
    to_lines([row])
    scores = [score for *_, score in spans if score is not None]
    to_correct = None
    if options.uncertain and scores:
        task = _to_correct(item.id, answer, row["spans"], min(scores))
        to_correct = min(scores), task
    return _Written(row, packed, to_correct)


def _docs(nlp: Language, item: Item) -> list[Doc]:
    if item.problem:
        raise ValueError(item.problem)
    if item.doc:
        return list(DocBin().from_bytes(item.doc).get_docs(nlp.vocab))
    return [nlp.make_doc(p) for p in pieces(repaired(item.text)[0], nlp.max_length)]


def pipeline_name(nlp: Language) -> str:
    return f"{nlp.meta['lang']}_{nlp.meta['name']}-{nlp.meta['version']}"


def _span(span: Scored) -> dict[str, Any]:
    start, end, label, score = span
    known = None if score is None else round(score, 4)
    return {"start": start, "end": end, "label": label, "score": known}


def _to_correct(
    id_: str, doc: Doc, spans: Sequence[dict[str, Any]], score: float
) -> dict[str, Any]:
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
