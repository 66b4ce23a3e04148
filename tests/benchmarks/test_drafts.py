"""A right draft leaves one decision, and it is the last one of the answer."""

import pytest

from benchmarks.speed.drafts import after, drafted
from helpers.search import make_backbone, make_questions
from spacy_instructner.decoding.beam_search import search


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_right_draft_is_verified_by_one_decision(kind: str) -> None:
    model = make_backbone(kind)
    asked = make_questions(model, 8, 0)
    answers = search(model, asked)
    assert any(answer.spans for answer in answers)
    for request, answer, left in zip(
        asked, answers, search(model, [drafted(*each) for each in zip(asked, answers)])
    ):
        begin = answer.ids[: -len(left.ids)]
        assert begin + left.ids == answer.ids
        # A choice, and then what is forced.
        assert len(after(request.grammar, begin).allowed) > 1
        forced = [
            after(request.grammar, answer.ids[:at]).allowed
            for at in range(len(begin) + 1, len(answer.ids))
        ]
        assert all(len(allowed) == 1 for allowed in forced)
