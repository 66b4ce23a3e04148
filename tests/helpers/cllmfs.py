"""Labels, texts and tasks of CLLMFS, and draws of annotation."""

from collections.abc import Sequence

import pytest
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc

from helpers.pipelines import MakeNLP
from spacy_instructner.decoding.answers import Clause, TokenizedWords
from spacy_instructner.decoding.request import DecodingRequest
from spacy_instructner.decoding.token_bag import TokenBagGrammar, TokenBagState
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import Gold
from spacy_instructner.tasks.cllmfs import BoundCLLMFS, build_cllmfs_v1
from spacy_instructner.tasks.labels import LabelSet, make_label_set

NAMES = ["TITLE", "genre", "Actor", "RATINGS-AVERAGE"]
MEANT = {
    "TITLE": "the name of a film",
    "genre": "a kind of film",
    "Actor": "a person on the screen",
    "RATINGS-AVERAGE": "how good others find it",
}
LABELS = make_label_set(NAMES, {}, MEANT)
TEXT = "are there any slow burn war movies with ada quill".split()
# Not by label: in text order.
GOLD = Gold(((3, 5, "genre"), (5, 6, "genre"), (8, 10, "Actor")))


AB = make_label_set(["A", "B"], {}, {"A": "first", "B": "second"})
letters = st.text("abé", min_size=1, max_size=3)

LAYOUTS = ["text_twice", "text_first", "text_last"]
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
# The bag needs markers.
every_way = pytest.mark.parametrize(
    "layout,grammar",
    [
        ("text_twice", "spans"),
        ("text_first", "spans"),
        ("text_last", "spans"),
        ("text_last", "bag"),
    ],
)


def encoded(
    encoder: TextEncoder, words: Sequence[str], spaces: Sequence[bool] | None = None
) -> TokenizedWords:
    spaces = [bool(at) for at in range(len(words))] if spaces is None else spaces
    return encoder.words(words, spaces, 50)


def bind(
    encoder: TextEncoder,
    labels: LabelSet = LABELS,
    max_span: int = 0,
    **config: object,
) -> BoundCLLMFS:
    end = encoder.tokenizer.eos_token_id
    return build_cllmfs_v1(**config).bind(encoder, labels, end, max_span)  # type: ignore[arg-type]


@st.composite
def golds(draw: st.DrawFn, words: st.SearchStrategy[list[str]]) -> tuple:
    """Words, and entities of two labels that do not overlap."""
    text = draw(words)
    borders = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    entities = []
    # Neighbours may touch.
    for start, end in zip(borders, borders[1:]):
        label = draw(st.sampled_from(["A", "B", None]))
        if label:
            entities.append((start, end, label))
    return text, tuple(entities)


def accepted(request: DecodingRequest, ids: Sequence[int]) -> list[Clause]:
    """Step by step; the answer is finished at its end, and not before."""
    state = request.grammar.start()
    for token in ids:
        assert not state.done
        assert token in state.allowed
        state = state.step(token)
    assert state.done and not state.allowed
    ends = [clause[3] for clause in state.read()]
    assert ends == sorted(ends) and all(0 < end < len(ids) for end in ends)
    return [clause[:3] for clause in state.read()]


def stepped(grammar: TokenBagGrammar, ids: Sequence[int]) -> TokenBagState:
    state = grammar.start()
    for token in ids:
        state = state.step(token)
    return state


DEFINED = {"PERSON": "a human", "PLACE": "a town or land", "WORK": "a creative work"}
TASK = {"@misc": "spacy-instructner.CLLMFS.v1"}
# With signs that the tests' T5 can write.
PLAIN: dict[str, dict[str, object]] = {
    "text_twice": {"separator": ","},
    "text_first": {"separator": ","},
    "text_last": {
        "template": "Options: {type}, {definition}\nSentence: {sentence}\nAnswer:",
        "before_entity": "begin",
        "after_entity": " end",
        "terminator": " stop",
        "no_entity": " stop",
    },
}


def asking(make_nlp: MakeNLP, layout: str = "text_twice", **config: object) -> Language:
    """With the layout as it is, but for T5, which cannot write its signs."""
    name = make_nlp().get_pipe("instruction_ner").model.attrs["config"].name
    task: dict[str, object] = {**TASK, "layout": layout}
    task.update(PLAIN[layout] if "t5" in name else {})
    task.update(config.pop("task", {}))  # type: ignore[call-overload]
    labels = config.pop("labels", list(DEFINED))
    return make_nlp(task=task, labels=labels, label_definitions=DEFINED, **config)


def spans_of(doc: Doc) -> list[tuple]:
    group = doc.spans["instruction_ner"]
    scores = [pytest.approx(float(x), abs=1e-4) for x in group.attrs["scores"]]
    return [(s.start, s.end, s.label_, x) for s, x in zip(group, scores)]
