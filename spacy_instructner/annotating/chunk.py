"""One chunk of texts, annotated: a function of the chunk alone, for any engine."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, List, Literal, Sequence, Tuple, Union

from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ..files import to_lines
from ..scores import Scored
from ..supports import scored_of
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
    in pieces; problems: id and reason of each text that could not be annotated."""

    texts: int = 0
    spans: Dict[str, int] = field(default_factory=dict)
    replaced: int = 0
    cut: int = 0
    problems: List[Dict[str, str]] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        self.texts += other.texts
        self.spans = dict(sorted((Counter(self.spans) + Counter(other.spans)).items()))
        self.replaced += other.replaced
        self.cut += other.cut
        self.problems += other.problems


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
    with nlp.memory_zone():
        return _annotated(nlp, items, options)


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
            except TypeError as error:
                answer = f"it cannot be saved: {error}"
        if isinstance(answer, str):
            row["error"] = answer
            report.problems.append({"id": item.id, "problem": answer})
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
) -> List[Union[Doc, str]]:
    """A Doc for each text, or why there is none."""
    given: List[Tuple[Doc, int]] = []
    wanted: Counter = Counter()
    why: Dict[int, str] = {}
    for at, item in enumerate(items):
        try:
            made = _docs(nlp, item, report)
        except Exception as error:
            why[at] = f"{type(error).__name__}: {error}"
        else:
            given += [(doc, at) for doc in made]
            wanted[at] = len(made)

    def failed(name: str, proc: Any, docs: List[Doc], error: Exception) -> None:
        for doc in docs:
            why[doc._context] = f"{name}: {type(error).__name__}: {error}"

    before = nlp.default_error_handler
    nlp.set_error_handler(failed)  # type: ignore[arg-type]
    try:
        found: Dict[int, List[Doc]] = {}
        piped = nlp.pipe(given, as_tuples=True, batch_size=options.batch_size)
        for doc, at in piped:
            found.setdefault(at, []).append(doc)
    finally:
        nlp.set_error_handler(before)
    answers: List[Union[Doc, str]] = []
    for at in range(len(items)):
        own = found.get(at, [])
        if at not in why and len(own) == wanted[at]:
            answers.append(own[0] if len(own) == 1 else _joined(own))
        else:
            answers.append(why.get(at, "a component dropped the text"))
    return answers


def _docs(nlp: Language, item: Item, report: Report) -> List[Doc]:
    if item.problem:
        raise ValueError(item.problem)
    if item.doc:
        return list(DocBin().from_bytes(item.doc).get_docs(nlp.vocab))
    text, replaced = repaired(item.text)
    report.replaced += bool(replaced)
    cut = pieces(text, nlp.max_length)
    report.cut += len(cut) > 1
    return [nlp.make_doc(piece) for piece in cut]


def _joined(docs: Sequence[Doc]) -> Doc:
    whole = Doc.from_docs(list(docs), ensure_whitespace=False)
    assert whole is not None
    # spaCy joins span groups, but not what they say of their spans.
    for key, group in whole.spans.items():
        groups = [doc.spans[key] for doc in docs if key in doc.spans]
        if all("scores" in own.attrs for own in groups):
            group.attrs["scores"] = [s for own in groups for s in own.attrs["scores"]]
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
