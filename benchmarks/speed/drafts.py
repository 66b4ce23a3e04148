"""What a reading in one pass could spare one that writes answers, at the very best: as a draft,
whose ids the model verifies in one pass, or as a gate, which spares labels without a candidate.

Both are measured as if the draft were always right and the gate let through what is answered and
nothing else. The first reading itself is a row of its own: what is spared must be more than it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from spacy_instructner.decoding.answers import AnswerFormat, Ids
from spacy_instructner.decoding.beam_search import search
from spacy_instructner.decoding.request import (
    Answer,
    AnswerGrammar,
    AnswerState,
    DecodingRequest,
)
from spacy_instructner.formats.text_files import read_json
from spacy_instructner.scoring.one_pass import score
from spacy_instructner.tasks.labels import default_name

from .decoding import NAME, ready
from .measure import Row
from .models import definitions, test_docs
from .readings import (
    LABELS_FIRST,
    PUBLISHED,
    WRITTEN,
    in_turns_of_cpu,
    label_names,
    pipeline,
)

# A data set for development. Its own labels come first, after them others.
SET = "mit_movie_trivia"
LABELS = (4, 9, 20, 80)


@dataclass(frozen=True)
class PartlyWritten:
    """A grammar that goes on after some ids of an answer, which stand in the prompt. The
    scores of its answers are those of the rest."""

    grammar: AnswerGrammar
    ids: Ids

    @property
    def format(self) -> AnswerFormat:
        return self.grammar.format

    def start(self) -> AnswerState:
        return after(self.grammar, self.ids)


def after(grammar: AnswerGrammar, ids: Ids) -> AnswerState:
    """Where an answer stands that begins with these ids."""
    state = grammar.start()
    for token in ids:
        state = state.step(token)
    return state


def drafted(request: DecodingRequest, answer: Answer) -> DecodingRequest:
    """The same, with the answer in the prompt up to its last decision: the pass that
    verifies a draft that is right."""
    choices = [
        at
        for at in range(len(answer.ids))
        if len(after(request.grammar, answer.ids[:at]).allowed) > 1
    ]
    if not choices:
        return request
    last = choices[-1]
    known = answer.ids[:last]
    return replace(
        request,
        suffix=request.suffix + known,
        grammar=PartlyWritten(request.grammar, known),
    )


def bounds(data: Path, texts: int, times: int) -> list[Row]:
    """Milliseconds of CPU time a text, by number of labels."""
    rows: list[Row] = []
    for labels in LABELS:
        for name, seconds in measure(data, texts, labels, times).items():
            values = [1000 * each / texts for each in seconds]
            rows.append(Row("drafts", name, "ms CPU a text", values, x=labels))
    return rows


def measure(data: Path, texts: int, labels: int, times: int) -> dict[str, list[float]]:
    """Seconds of CPU time by turns."""
    own = map(default_name, read_json(Path(definitions(SET))))
    names = list(dict.fromkeys([*own, *label_names(labels)]))[:labels]
    nlp = pipeline(WRITTEN, names, "auto")
    model = ready(nlp)
    docs = test_docs(nlp, data, SET, texts)
    asked = requests_of(nlp.get_pipe(NAME), docs)
    answers = search(model, asked)
    answered = [each for each, answer in zip(asked, answers) if answer.spans]
    right = [drafted(each, answer) for each, answer in zip(asked, answers)]
    runs = {
        "answers, a label each": partial(search, model, asked),
        "right drafts verified": partial(search, model, right),
        "labels with an answer alone": partial(search, model, answered),
    }
    for name in (PUBLISHED, LABELS_FIRST):
        reader = pipeline(name, names, "auto")
        scored = requests_of(reader.get_pipe(NAME), docs)
        runs[f"in one pass: {name}"] = partial(score, ready(reader), scored)
    return in_turns_of_cpu(runs, times)


def requests_of(pipe: Any, docs: Sequence[Any]) -> list[Any]:
    return [each for _, requests in pipe.requests(docs) for each in requests]
