"""Answers under way: what each has said, and how likely that was. Source: ours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from .answers import Ids
from .grammar import Grammar, GrammarState


@dataclass(frozen=True)
class DecodingRequest:
    """One prompt. prefix: the ids that stay the same from text to text; shared: what
    follows it, and stands in other questions on the same text too; suffix: the ids
    after that, the text among them unless it is shared."""

    prefix: Ids
    suffix: Ids
    grammar: Grammar
    shared: Ids = ()

    @property
    def own(self) -> Ids:
        """All but the prefix."""
        return self.shared + self.suffix


@dataclass(frozen=True)
class ScoredSpan:
    """Words [start, end) of the window; score: probability between 0 and 1."""

    start: int
    end: int
    label: str
    score: float


@dataclass(frozen=True)
class Answer:
    """spans in text order; ids: the answer as written; logprob: of the whole
    answer under the grammar; complete: False where the model had no room left."""

    spans: tuple[ScoredSpan, ...]
    ids: Ids
    logprob: float
    complete: bool = True


# An answer id, log-probability of it, and the part of it that says "the label
# before has ended" (0 where nothing else was possible).
Decision = tuple[int, float, float]


@dataclass
class Hypothesis:
    """One answer under way. pending: the ids the model has not read yet."""

    state: GrammarState
    unprocessed: list[int]
    ids: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    logprob: float = 0.0
    # What may come next, fed together with `pending`.
    draft: "Hypothesis | None" = None
    # Of a text that is read once for several questions: these.
    forks: "Sequence[Beam]" = ()

    def take(self, token: int) -> None:
        self.ids.append(token)
        self.unprocessed.append(token)
        self.state = self.state.step(token)

    def follow(self) -> "Hypothesis":
        """Write all that is forced."""
        while not self.state.done and len(self.state.allowed) == 1:
            self.take(self.state.allowed[0])
        return self

    def ahead(self, token: int) -> "Hypothesis":
        """The row if this id came next."""
        row = Hypothesis(self.state, [], list(self.ids))
        row.take(token)
        return row.follow()

    def decide(self, at: int, logprob: float, logprobs: torch.Tensor) -> "Hypothesis":
        """The row after one of the allowed ids, by its place among them."""
        token = self.state.allowed[at]
        decision = (len(self.ids), logprob, ended_part(self.state, token, logprobs))
        row = Hypothesis(
            self.state,
            [],
            list(self.ids),
            [*self.decisions, decision],
            self.logprob + logprob,
        )
        row.take(token)
        return row.follow()


@dataclass
class Beam:
    """The answers to one question: those under way, and those that are done (or
    have no room left)."""

    index: int
    request: DecodingRequest
    rows: list[Hypothesis]
    done: list[Hypothesis] = field(default_factory=list)

    def settle(self, rows: list[Hypothesis], width: int) -> None:
        """Go on with the best of these; stop when none can beat what is done,
        as log-probabilities only fall."""
        self.done.extend(row for row in rows if row.state.done)
        self.rows = [row for row in rows if not row.state.done]
        best = max((row.logprob for row in self.done), default=-math.inf)
        self.rows = [row for row in self.rows if row.logprob > best][:width]

    @property
    def answer(self) -> Answer:
        return finish(max(self.done, key=lambda row: row.logprob))


def decide(
    standing: Sequence[tuple[Beam, Hypothesis]], logprobs: torch.Tensor, width: int
) -> dict[int, int]:
    """Choose the next ids of every beam. RETURNS: by each new row's identity,
    where its parent stands."""
    top = logprobs.topk(min(width, logprobs.shape[1]), dim=1)
    values, places = top.values.tolist(), top.indices.tolist()
    # Per beam: (log-probability, where the parent stands, which of its ids).
    options: dict[int, list[tuple[float, int, int, float]]] = {}
    for at, (beam, row) in enumerate(standing):
        options.setdefault(beam.index, []).extend(
            (row.logprob + value, at, place, value)
            for value, place in zip(values[at], places[at])
            if value > -math.inf
        )
    parents: dict[int, int] = {}
    beams = {beam.index: beam for beam, _ in standing}
    for index, found in options.items():
        if not found:
            raise ValueError(
                "The model's scores are not numbers: its weights are damaged, or its "
                "training ran astray. Train it again with a lower learn rate."
            )
        found.sort(key=lambda option: (-option[0], option[1], option[2]))
        rows = []
        for _, at, place, value in found[:width]:
            row = standing[at][1].decide(place, value, logprobs[at])
            parents[id(row)] = at
            rows.append(row)
        beams[index].settle(rows, width)
    return parents


def ended_part(state: GrammarState, token: int, logprobs: torch.Tensor) -> float:
    """How likely it was that the label before had ended, where it need not have
    (a label whose words begin another's)."""
    ended = state.ended
    if token not in ended or len(ended) == len(state.allowed):
        return 0.0
    at = [i for i, allowed in enumerate(state.allowed) if allowed in ended]
    return float(torch.logsumexp(logprobs[at], dim=0))


def finish(row: Hypothesis) -> Answer:
    complete = row.state.done
    clauses = row.state.read() if complete else row.state.read_so_far()
    labels = row.state.grammar.format.labels
    spans = []
    begin = 0
    for start, end, label, stop in clauses:
        logprob = 0.0
        for at, whole, ended in row.decisions:
            if begin <= at < stop:
                # At `begin`, the label before took its part of the decision.
                logprob += whole - (ended if at == begin else 0.0)
            elif at == stop:
                logprob += ended
        spans.append(ScoredSpan(start, end, labels[label], math.exp(min(0.0, logprob))))
        begin = stop
    return Answer(tuple(spans), tuple(row.ids), row.logprob, complete)
