"""A project's texts and their entities as files that other tools read. Source: ours."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, DocBin

from ...char_spans import CharSpan
from ...corpus.chunk import prodigy_task
from ...files import to_lines
from ...formats.docs import make_doc
from ...formats.rows import Row


@dataclass(frozen=True)
class ExportedText:
    """A text with its entities. source, name: the file and its id there; answer:
    "accept", "reject", or "" where nobody decided."""

    text: str
    spans: tuple[CharSpan, ...]
    source: str
    name: str
    answer: str


def as_jsonl(texts: Sequence[ExportedText], nlp: Language) -> bytes:
    """{"text", "spans"} a line, as `convert` and configs/fewshot.cfg read them."""
    return to_lines(
        {
            "text": own.text,
            "spans": [_span(span) for span in own.spans],
            "meta": _meta(own),
        }
        for own in texts
    )


def as_prodigy(texts: Sequence[ExportedText], nlp: Language) -> bytes:
    """Tasks of Prodigy's ner.manual, with their answers. What nobody decided has none."""
    return to_lines(_task(own, doc) for own, doc in zip(texts, _docs(texts, nlp)))


def as_spacy(texts: Sequence[ExportedText], nlp: Language) -> bytes:
    """Docs, as `spacy train` reads them."""
    return DocBin(docs=_docs(texts, nlp)).to_bytes()


def as_conll(texts: Sequence[ExportedText], nlp: Language) -> bytes:
    """A word and its tag (IOB2) a line, with a tab between them, and a blank line after
    each text."""
    return "".join(map(_conll, _docs(texts, nlp))).encode()


# By the name in the address: name of the file, media type, what writes it, and whether
# texts that are set aside are in it.
Writer = Callable[[Sequence[ExportedText], Language], bytes]
EXPORTS: dict[str, tuple[str, str, Writer, bool]] = {
    "jsonl": ("examples.jsonl", "application/x-ndjson", as_jsonl, False),
    "spacy": ("examples.spacy", "application/octet-stream", as_spacy, False),
    "conll": ("examples.conll", "text/plain; charset=utf-8", as_conll, False),
    "prodigy": ("prodigy.jsonl", "application/x-ndjson", as_prodigy, True),
}


def _docs(texts: Iterable[ExportedText], nlp: Language) -> list[Doc]:
    return [make_doc(Row(own.name, own.text, None, own.spans), nlp)[0] for own in texts]


def _span(span: CharSpan) -> dict[str, Any]:
    start, end, label = span
    return {"start": start, "end": end, "label": label}


def _meta(own: ExportedText) -> dict[str, str]:
    return {"source": own.source, "id": own.name}


def _task(own: ExportedText, doc: Doc) -> dict[str, Any]:
    spans = [_span((ent.start_char, ent.end_char, ent.label_)) for ent in doc.ents]
    return prodigy_task(doc, spans, _meta(own)) | (
        {"answer": own.answer, "_view_id": "ner_manual"} if own.answer else {}
    )


def _conll(doc: Doc) -> str:
    lines = []
    inside = False
    for token in doc:
        # A word with a line end would be two lines.
        if token.is_space:
            continue
        kind = token.ent_iob_
        # The first word of an entity may have been white space.
        if kind == "I" and not inside:
            kind = "B"
        inside = kind in "BI" and bool(token.ent_type_)
        tag = f"{kind}-{token.ent_type_}" if inside else "O"
        lines.append(f"{token.text}\t{tag}\n")
    return "".join(lines) + "\n" if lines else ""
