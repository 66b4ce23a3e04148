"""What a pipeline found."""

import pytest
from spacy.tokens import Doc


def spans(doc: Doc) -> list:
    scores = doc.spans["instruction_ner"].attrs["scores"]
    return [
        (span.start, span.end, span.label_, pytest.approx(float(score), abs=1e-4))
        for span, score in zip(doc.spans["instruction_ner"], scores)
    ]
