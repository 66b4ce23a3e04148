"""One chunk of texts, annotated: a function of the chunk alone, for any engine."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ..char_spans import ScoredCharSpan
from ..files import to_lines
from ..windows import counted
from .entities import scored_entities_of
from .piped import Failure, annotate_each
from .texts import Item, docs_of, pack, repaired

OutputFormat = Literal["jsonl", "spacy"]


@dataclass(frozen=True)
class OutputOptions:
    """What an output is made of.

    format: of the chunks' files; with_text: whether rows have their text; uncertain: how
    many texts to offer for correction; batch_size: texts annotated at a time."""

    format: OutputFormat = "jsonl"
    with_text: bool = False
    uncertain: int = 0
    batch_size: int = 256


@dataclass
class Report:
    """What happened in a chunk, or in several.

    texts: number of texts; spans: number of entities of each label; replaced: texts with
    surrogates, which became U+FFFD; cut: texts longer than the pipeline's `max_length`,
    which were annotated in pieces; unread_tokens: tokens that the model could not read;
    unfinished_answers: answers that did not fit into the model; problems: id and reason
    of each text that could not be annotated."""

    texts: int = 0
    spans: dict[str, int] = field(default_factory=dict)
    replaced: int = 0
    cut: int = 0
    unread_tokens: int = 0
    unfinished_answers: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        """Add the numbers and problems of another chunk."""
        self.texts += other.texts
        self.spans = dict(sorted((Counter(self.spans) + Counter(other.spans)).items()))
        self.replaced += other.replaced
        self.cut += other.cut
        self.unread_tokens += other.unread_tokens
        self.unfinished_answers += other.unfinished_answers
        self.problems += other.problems


@dataclass(frozen=True)
class AnnotatedChunk:
    """A chunk, ready to be written.

    content: of the chunk's file; uncertain: lowest score and task of each text to
    correct, the least certain text first; report: what happened."""

    content: bytes
    uncertain: list[tuple[float, dict[str, Any]]]
    report: Report


def annotate_chunk(
    nlp: Language, items: Sequence[Item], options: OutputOptions
) -> AnnotatedChunk:
    """Annotate texts in a memory zone. A text that fails is a problem of the report and a
    row with `error` (a .spacy file leaves it out); the other texts are annotated.

    nlp (Language): the pipeline.
    items (Sequence[Item]): the texts.
    options (OutputOptions): what to write.
    RETURNS (AnnotatedChunk): what there is to write."""
    with nlp.memory_zone(), counted() as unread:
        annotated = _annotated(nlp, items, options)
    for each in unread:
        if each.what == "tokens":
            annotated.report.unread_tokens += each.count
        else:
            annotated.report.unfinished_answers += each.count
    return annotated


def _annotated(
    nlp: Language, items: Sequence[Item], options: OutputOptions
) -> AnnotatedChunk:
    report = Report(texts=len(items))
    answers = annotate_each(
        nlp, [partial(docs_of, nlp, item) for item in items], options.batch_size
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
            prepared = _output_of(item, answer, options)
        except Exception as error:
            # Whatever somebody keeps in a Doc, or did to it.
            why = f"it cannot be saved: {type(error).__name__}: {error}"
            prepared = Failure(why)
        if isinstance(prepared, Failure):
            row["error"] = prepared.why
            report.problems.append({"id": item.id, "problem": prepared.why})
            continue
        row |= prepared.row
        counts.update(span["label"] for span in row["spans"])
        if prepared.packed is not None:
            docs.merge(prepared.packed)
        if prepared.to_correct is not None:
            uncertain.append(prepared.to_correct)
    report.spans = dict(sorted(counts.items()))
    uncertain.sort(key=lambda each: each[0])
    content = docs.to_bytes() if options.format == "spacy" else to_lines(rows)
    return AnnotatedChunk(content, uncertain[: options.uncertain], report)


@dataclass(frozen=True)
class _TextOutput:
    """What there is to write of one text.

    row: what its row gets; packed: its Doc, for a .spacy file; to_correct: its lowest
    score and the task."""

    row: dict[str, Any]
    packed: DocBin | None
    to_correct: tuple[float, dict[str, Any]] | None


def _output_of(
    item: Item, answer: Doc | Failure, options: OutputOptions
) -> _TextOutput | Failure:
    if isinstance(answer, Failure):
        return answer
    # Before it is packed: by this, span groups are where their characters are.
    spans = scored_entities_of(answer)
    packed = None
    if options.format == "spacy":
        answer.user_data["id"] = item.id
        packed = pack(answer)
    row: dict[str, Any] = {"spans": [span_row(span) for span in spans]}
    if options.with_text:
        row["text"] = answer.text
    # What is no JSON must fail for this text, not for its file.
    to_lines([row])
    scores = [score for *_, score in spans if score is not None]
    to_correct = None
    if options.uncertain and scores:
        task = task_to_correct(item.id, answer, row["spans"], min(scores))
        to_correct = min(scores), task
    return _TextOutput(row, packed, to_correct)


def pipeline_name(nlp: Language) -> str:
    """A pipeline's language, name and version, as in the name of its package."""
    return f"{nlp.meta['lang']}_{nlp.meta['name']}-{nlp.meta['version']}"


def span_row(span: ScoredCharSpan) -> dict[str, Any]:
    """An entity as rows of JSON have it."""
    start, end, label, score = span
    known = None if score is None else round(score, 4)
    return {"start": start, "end": end, "label": label, "score": known}


def task_to_correct(
    id_: str, doc: Doc, spans: Sequence[dict[str, Any]], score: float
) -> dict[str, Any]:
    """A task as Prodigy's ner.manual reads it. spans: the rows of the Doc's entities."""
    return prodigy_task(doc, spans, {"id": id_, "score": round(score, 4)})


def prodigy_task(
    doc: Doc, spans: Sequence[dict[str, Any]], meta: Mapping[str, Any]
) -> dict[str, Any]:
    """A text as Prodigy has it. spans: as for `task_to_correct`; meta: what its page
    shows beside the text."""
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
        "meta": dict(meta),
    }


def digest(items: Sequence[Item]) -> str:
    """SHA-256 of the texts of a chunk."""
    own = hashlib.sha256()
    for item in items:
        for part in (item.id, item.text, item.problem):
            own.update(part.encode("utf8", "surrogatepass"))
            own.update(b"\0")
        own.update(item.doc)
    return own.hexdigest()
