"""Hypotheses: answers under way, what each has said, and how likely that was.

A request has a `Beam` of hypotheses. At a decision every hypothesis of a beam offers its
likeliest next ids, and the best of all that is offered go on:

    beam of width 2        one decision                      the beam afterwards

    "Ada (person"     →    ";"  -0.1   ")" -2.5              "Ada (person;"
    "Ada"             →    "("  -0.9   ";" -1.0              "Ada (person)" is done

Between decisions nothing is chosen: ids that the grammar leaves no choice about are
appended at once and reach the model together with the next decision. Source: beam search
is standard; the scores of spans are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from .request import Answer, AnswerState, DecodingRequest, ScoredSpan

# How many answer ids stood before it, its log-probability, and the part of that which
# says "the label before has ended" (0 where nothing else was possible).
Decision = tuple[int, float, float]


@dataclass
class Hypothesis:
    """One answer under way.

    request: index of the request that it answers; state: where it stands in the
    grammar; unprocessed: the last of its ids, which the model has not read yet; ids: all
    that it says; decisions: where it had a choice; logprob: the sum over these (nats);
    row: the session's row that holds what the model has read of it."""

    request: int
    state: AnswerState
    unprocessed: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    logprob: float = 0.0
    row: int = 0

    def append(self, token: int) -> "Hypothesis":
        """Say one id more, and all that are forced after it."""
        self._say(token)
        return self.append_forced()

    def append_forced(self) -> "Hypothesis":
        """Say the ids that the grammar leaves no choice about."""
        while not self.state.done and len(self.state.allowed) == 1:
            self._say(self.state.allowed[0])
        return self

    def _say(self, token: int) -> None:
        self.ids.append(token)
        self.unprocessed.append(token)
        self.state = self.state.step(token)

    def draft(self, token: int) -> "Hypothesis":
        """What would be said if this id came next; it is not decided."""
        return Hypothesis(self.request, self.state, ids=list(self.ids)).append(token)

    def extended(
        self, choice: int, logprob: float, logprobs: torch.Tensor, row: int
    ) -> "Hypothesis":
        """The hypothesis after one of the allowed ids.

        choice: its index among them; logprob: of it; logprobs: (allowed ids,) of all of
        them, which may be padded; row: the session's row that this one was read in."""
        token = self.state.allowed[choice]
        decision = len(self.ids), logprob, ended_part(self.state, token, logprobs)
        return Hypothesis(
            self.request,
            self.state,
            ids=list(self.ids),
            decisions=[*self.decisions, decision],
            logprob=self.logprob + logprob,
            row=row,
        ).append(token)


@dataclass
class Beam:
    """The hypotheses of one request: those under way, the best first, and those that
    are finished (or have no room left)."""

    index: int
    request: DecodingRequest
    hypotheses: list[Hypothesis] = field(default_factory=list)
    finished: list[Hypothesis] = field(default_factory=list)

    @classmethod
    def start(cls, index: int, request: DecodingRequest) -> "Beam":
        """A beam with the hypothesis that has decided nothing."""
        beam = cls(index, request)
        first = Hypothesis(index, request.grammar.start())
        beam.settle([first.append_forced()], width=1)
        return beam

    def settle(self, hypotheses: list[Hypothesis], width: int) -> None:
        """Go on with the best of these, at most `width`; stop when none can beat what is
        finished, as log-probabilities only fall."""
        self.finished.extend(each for each in hypotheses if each.state.done)
        best = max((each.logprob for each in self.finished), default=-math.inf)
        under_way = [each for each in hypotheses if not each.state.done]
        self.hypotheses = [each for each in under_way if each.logprob > best][:width]

    def break_off(self, hypothesis: Hypothesis) -> None:
        """Take a hypothesis that the model has no room for as it stands."""
        self.finished.append(hypothesis)
        self.hypotheses = [each for each in self.hypotheses if each is not hypothesis]

    @property
    def answer(self) -> Answer:
        return to_answer(max(self.finished, key=lambda each: each.logprob))


def decide(
    hypotheses: Sequence[Hypothesis],
    rows: Sequence[int],
    logprobs: torch.Tensor,
    beams: Sequence[Beam],
    width: int,
) -> None:
    """Choose the next ids of every beam that has hypotheses here.

    rows: the session's row of each hypothesis; logprobs: (hypotheses, most allowed ids)
    of what the grammar allows each, padded with minus infinity; beams: by request.
    Raises ValueError where no score is a number."""
    top = logprobs.topk(min(width, logprobs.shape[1]), dim=1)
    values, choices = top.values.tolist(), top.indices.tolist()
    # By request: (log-probability in all, index of the hypothesis, which of its allowed
    # ids, log-probability of that).
    offers: dict[int, list[tuple[float, int, int, float]]] = {}
    for at, hypothesis in enumerate(hypotheses):
        offers.setdefault(hypothesis.request, []).extend(
            (hypothesis.logprob + value, at, choice, value)
            for value, choice in zip(values[at], choices[at])
            if value > -math.inf
        )
    for request, offered in offers.items():
        if not offered:
            raise ValueError(
                "The model's scores are not numbers: its weights are damaged, or its "
                "training diverged. Train it again with a lower learn rate."
            )
        offered.sort(key=lambda offer: (-offer[0], offer[1], offer[2]))
        chosen = [
            hypotheses[at].extended(choice, value, logprobs[at], rows[at])
            for _, at, choice, value in offered[:width]
        ]
        beams[request].settle(chosen, width)


def ended_part(state: AnswerState, token: int, logprobs: torch.Tensor) -> float:
    """How likely it was that the label before had ended, where it need not have
    (a label whose words begin another's)."""
    ended = state.ended
    if token not in ended or len(ended) == len(state.allowed):
        return 0.0
    at = [i for i, allowed in enumerate(state.allowed) if allowed in ended]
    return float(torch.logsumexp(logprobs[at], dim=0))


def to_answer(hypothesis: Hypothesis) -> Answer:
    """The spans that a hypothesis says. The score of a span is the probability of the
    decisions from its beginning to the end of its label."""
    complete = hypothesis.state.done
    state = hypothesis.state
    clauses = state.read() if complete else state.read_so_far()
    labels = state.grammar.format.labels
    spans = []
    begin = 0
    for start, end, label, stop in clauses:
        logprob = 0.0
        for at, whole, ended in hypothesis.decisions:
            if begin <= at < stop:
                # At `begin`, the label before took its part of the decision.
                logprob += whole - (ended if at == begin else 0.0)
            elif at == stop:
                logprob += ended
        spans.append(ScoredSpan(start, end, labels[label], math.exp(min(0.0, logprob))))
        begin = stop
    return Answer(tuple(spans), tuple(hypothesis.ids), hypothesis.logprob, complete)
