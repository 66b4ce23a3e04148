"""Annotated texts as a displaCy page, with scores. Source: ours; displaCy is spaCy's."""

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from spacy import displacy
from spacy.language import Language
from spacy.tokens import Doc

from .entities import scored_entities_of
from .piped import Failure, annotate_each
from .texts import pieces

# The colour of each label, in the order of the labels.
COLORS = (
    "#7fc8f8", "#f9c74f", "#90be6d", "#f8961e", "#c9a7eb", "#f28482", "#84dcc6",
    "#d4d700", "#ffb3c6", "#a3b18a", "#e0aaff", "#b8c0ff",
)  # fmt: skip
# One text as displaCy's manual mode takes it: "text", "ents" and, where it could not be
# annotated, "title" and "problem". An entity has its label as "name", too, and its
# "score" as a text with two decimals, "" where no score is known.
PageRow = dict[str, Any]


def annotate_for_page(nlp: Language, texts: Sequence[tuple[str, str]]) -> list[PageRow]:
    """Annotate texts for a page.

    nlp (Language): the pipeline.
    texts (Sequence[tuple[str, str]]): each text, and why it cannot be read, "" where it
        can.
    RETURNS (list[PageRow]): a row for each text; one that failed has a "problem"."""

    def docs_of(text: str, unread: str) -> list[Doc]:
        if unread:
            raise ValueError(unread)
        return [nlp.make_doc(piece) for piece in pieces(text, nlp.max_length)]

    makes = [partial(docs_of, *each) for each in texts]
    rows: list[PageRow] = []
    for (text, _), answer in zip(texts, annotate_each(nlp, makes, nlp.batch_size)):
        if isinstance(answer, Failure):
            # displaCy escapes texts, but not titles.
            title = f"Not annotated: {escape(answer.why)}"
            rows.append(
                {"text": text, "ents": [], "title": title, "problem": answer.why}
            )
        else:
            rows.append(page_row(answer))
    return rows


def page_row(doc: Doc) -> PageRow:
    """A Doc as displaCy's manual mode takes it, with scores in the labels."""
    row: PageRow = {"text": doc.text, "ents": []}
    for start, end, label, score in scored_entities_of(doc):
        shown = "" if score is None else f"{score:.2f}"
        row["ents"].append(
            {
                "start": start,
                "end": end,
                "label": f"{label} {shown}".strip(),
                "name": label,
                "score": shown,
            }
        )
    return row


def write_page(rows: Sequence[PageRow], path: Path) -> None:
    """Write an HTML page. Raises OSError where that is not possible."""
    labels = sorted({ent["name"] for row in rows for ent in row["ents"]})
    chosen = {label: COLORS[at % len(COLORS)] for at, label in enumerate(labels)}
    colors = {e["label"].upper(): chosen[e["name"]] for r in rows for e in r["ents"]}
    page = displacy.render(
        list(rows),
        style="ent",
        manual=True,
        page=True,
        options={"colors": colors},
        jupyter=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf8")
