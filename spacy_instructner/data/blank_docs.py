"""Docs that hold a text and nothing that was annotated. Source: ours."""

from spacy.tokens import Doc

from ..tasks.labels import LABELS_KEY


def without_annotation(doc: Doc) -> Doc:
    """The words and spaces of a Doc without its annotation. The labels that it brings
    with it (`LABELS_KEY`) stay."""
    spaces = [bool(token.whitespace_) for token in doc]
    own = Doc(doc.vocab, words=[token.text for token in doc], spaces=spaces)
    if LABELS_KEY in doc.user_data:
        own.user_data[LABELS_KEY] = doc.user_data[LABELS_KEY]
    return own
