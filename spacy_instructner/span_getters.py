"""What proposes windows: whole Docs, or their sentences. Source: ours.

Span getters of spacy-transformers do so, too, where it is installed. Pipelines saved by
versions before 0.2 name one of them even if nobody chose it."""

from collections.abc import Callable
from importlib.util import find_spec

from spacy.tokens import Doc, Span
from spacy.util import registry

SpanGetter = Callable[[list[Doc]], list[list[Span]]]


def build_whole_docs_v1() -> SpanGetter:
    """Registered as `spacy-instructner.WholeDocs.v1`.

    RETURNS (SpanGetter): proposes every Doc as one window.
    """
    return whole_docs


def build_sentences_v1() -> SpanGetter:
    """Registered as `spacy-instructner.Sentences.v1`.

    RETURNS (SpanGetter): proposes each sentence of a Doc. It raises spaCy's ValueError
        E030 for a Doc without sentence boundaries.
    """
    return sentences


def whole_docs(docs: list[Doc]) -> list[list[Span]]:
    return [[doc[:]] for doc in docs]


def sentences(docs: list[Doc]) -> list[list[Span]]:
    return [list(doc.sents) for doc in docs]


def stand_in_for_spacy_transformers() -> None:
    """Let configs that name a span getter of spacy-transformers load without it: those
    that have an equal here get it, others an error that names the extra."""
    if find_spec("spacy_transformers") or hasattr(registry, "span_getters"):
        return
    registry.create("span_getters", entry_points=True)
    getters = getattr(registry, "span_getters")  # noqa: B009, made just now
    getters.register("spacy-transformers.doc_spans.v1", func=build_whole_docs_v1)
    getters.register("spacy-transformers.sent_spans.v1", func=build_sentences_v1)
    getters.register("spacy-transformers.strided_spans.v1", func=_missing_strides)


def _missing_strides(window: int, stride: int) -> SpanGetter:
    raise ValueError(
        "spacy-transformers.strided_spans.v1 comes with spacy-transformers, which is not "
        'installed. Install it (pip install "spacy-instructner[spacy-transformers]"), or '
        'take windows = {"@misc": "spacy-instructner.WholeDocs.v1"}: texts longer than '
        "`max_window` are cut with `window_overlap` in any case."
    )
