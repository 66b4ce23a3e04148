"""Beam search under a grammar, with continuous batching. Greedy is a beam of width 1.

    requests ──► queue ──add_requests──► rows of the session ──forward──► logits of the
                   ▲                      │        ▲                      allowed ids
                   │                 remaining     │ reorder                  │
                   └── room again ◄── finished ◄───┴───── decide ◄────────────┘

A row of the session holds what the model has read: either a hypothesis, or the prefill of
a text that several requests are about, from which their hypotheses branch. The model is
called once a decision: what the grammar forces enters it together with the next decision.
Scores are probabilities renormalised over what the grammar allows. Source: ours.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from .answers import Ids
from .hypotheses import Beam, Hypothesis, decide
from .request import Answer, AnswerState, DecodingRequest, PromptIds, ScoredSpan
from .speculative import SpeculativeDecoder

__all__ = ["Answer", "DecodingRequest", "PromptIds", "ScoredSpan", "search"]

# The KV cache of the texts may hold so many times their ids, since the longest text under
# way says how much room each has.
PADDING = 2


class Session(Protocol):
    """Rows that are being read by the model, each with its KV cache."""

    # Whether requests may be added while others are under way (continuous batching).
    supports_continuous_batching: bool
    # Whether copies of a row may go on with different ids of the prompt.
    supports_prefix_sharing: bool

    def add_requests(self, prompts: Sequence[PromptIds]) -> Sequence[Ids]:
        """Put new rows behind those under way. RETURNS: what to feed each of them
        before anything of its answer."""

    def forward(
        self, rows: Sequence[Sequence[int]], wanted: Sequence[tuple[int, int]]
    ) -> torch.Tensor:
        """Feed ids to every row. wanted: (row, index of one of its ids), for each hidden
        state that is asked for. RETURNS: (wanted, width) these states."""

    def rollback(self, counts: Sequence[int]) -> None:
        """Forget so many of every row's last ids."""

    def reorder(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; one may stand there twice."""

    @property
    def remaining_positions(self) -> list[int]:
        """How many ids each row can still take."""


class LanguageModel(Protocol):
    """A model as the search sees it."""

    def open(self, prefixes: Sequence[Ids]) -> Session:
        """No rows yet. prefixes: those of all prompts to come."""

    def logits(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """(rows, width) and (n,) token ids -> (rows, n) float32 logits."""


def search(
    model: LanguageModel,
    requests: Sequence[DecodingRequest],
    batch_tokens: int = 2048,
    width: int = 1,
) -> list[Answer]:
    """The answers to all requests, in their order.

    Long texts come first. Where the model's session allows it, a request takes the
    place of one that is answered at once, so that no pass is half empty.

    batch_tokens: most text ids that are under way together, and half of what they may
        be when padded to the longest; each hypothesis counts as a text.
    width: hypotheses kept at every decision. 1 is greedy: the likeliest choice every
        time. More find likelier answers; likelihoods are renormalised over what the
        grammar allows, and not by length.
    """
    beams = [Beam.start(index, request) for index, request in enumerate(requests)]
    # Answers that leave no choice are finished.
    undecided = [beam for beam in beams if beam.hypotheses]
    if undecided:
        with torch.inference_mode():
            run = BeamSearch(model, beams, undecided, batch_tokens, width)
            while run.queue or run.rows:
                run.admit()
                run.break_off()
                if run.rows:
                    run.step()
    return [beam.answer for beam in beams]


@dataclass
class Prefill:
    """A text that is read before anything is decided about it, once for all requests
    that share it. beams: theirs; unprocessed: ids that the model has not read yet."""

    beams: list[Beam]
    unprocessed: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class QueuedText:
    """Requests that are admitted together, as they share a text."""

    beams: list[Beam]

    @property
    def prompt(self) -> PromptIds:
        """What is read first, once for all of them."""
        request = self.beams[0].request
        alone = len(self.beams) == 1
        return request.prefix, request.own if alone else request.shared

    @property
    def lengths(self) -> list[int]:
        return [max(1, len(beam.request.own)) for beam in self.beams]


class BeamSearch:
    """The state of one search.

    beams: of all requests; rows: what each row of the session holds; queue: texts that
    are not admitted yet, the next one last."""

    def __init__(
        self,
        model: LanguageModel,
        beams: Sequence[Beam],
        undecided: Sequence[Beam],
        batch_tokens: int,
        width: int,
    ) -> None:
        self.model = model
        self.beams = beams
        self.batch_tokens = batch_tokens
        self.width = width
        self.session = model.open([beam.request.prefix for beam in undecided])
        self.queue = queue_texts(undecided, self.session.supports_prefix_sharing)
        self.speculative = SpeculativeDecoder()
        self.rows: list[Hypothesis | Prefill] = []

    def beams_of(self, row: Hypothesis | Prefill) -> Sequence[Beam]:
        """The requests that a row is read for."""
        return row.beams if isinstance(row, Prefill) else [self.beams[row.request]]

    def admit(self) -> None:
        """Take texts off the queue, as many as there is room for, one at least if
        nothing is under way."""
        if self.rows and not self.session.supports_continuous_batching:
            return
        lengths = {
            beam.index: len(beam.request.own)
            for row in self.rows
            for beam in self.beams_of(row)
        }
        longest = max(lengths.values(), default=0)
        size, count = sum(lengths.values()), len(lengths)
        new: list[Hypothesis | Prefill] = []
        prompts: list[PromptIds] = []
        while self.queue:
            own = self.queue[-1].lengths
            longest = max(longest, *own)
            size, count = size + sum(own), count + len(own)
            needed = self.width * max(size, count * longest / PADDING)
            if (new or self.rows) and needed > self.batch_tokens:
                break
            text = self.queue.pop()
            rows = list(first_rows(text))
            new.extend(rows)
            prompts.extend([text.prompt] * len(rows))
        if new:
            for row, ids in zip(new, self.session.add_requests(prompts)):
                row.unprocessed[:0] = ids
        self.rows.extend(new)

    def break_off(self) -> None:
        """Finish the answers that do not fit into the model any more as they stand."""
        kept = []
        for at, remaining in enumerate(self.session.remaining_positions):
            row = self.rows[at]
            if len(row.unprocessed) <= remaining:
                kept.append(at)
            elif isinstance(row, Prefill):
                for beam in row.beams:
                    beam.finished.extend(beam.hypotheses)
                    beam.hypotheses = []
            else:
                self.beams[row.request].break_off(row)
        if len(kept) < len(self.rows):
            self.session.reorder(kept)
        self.rows = [self.rows[at] for at in kept]

    def step(self) -> None:
        """One pass of the model, and the decisions that it allows."""
        # The first row of each request says in which order they go on.
        order = {b.index: b for row in self.rows for b in self.beams_of(row)}
        self._forward_and_decide()
        after = [each for beam in order.values() for each in beam.hypotheses]
        rows = [hypothesis.row for hypothesis in after]
        if rows != list(range(len(self.rows))):
            self.session.reorder(rows)
        self.rows = list(after)

    def _forward_and_decide(self) -> None:
        at = [i for i, row in enumerate(self.rows) if isinstance(row, Hypothesis)]
        deciding = [row for row in self.rows if isinstance(row, Hypothesis)]
        drafts: list[Hypothesis | None] = [None] * len(deciding)
        # Drafts are verified by one decision; with more hypotheses there are several.
        if self.width == 1:
            remaining = self.session.remaining_positions
            drafts = self.speculative.propose(deciding, [remaining[i] for i in at])
        fed = [list(row.unprocessed) for row in self.rows]
        for i, draft in zip(at, drafts):
            fed[i].extend(draft.unprocessed if draft else ())
        # Of every hypothesis the last of its own ids, then the last of its draft.
        wanted = [(i, len(self.rows[i].unprocessed) - 1) for i in at]
        wanted += [(i, len(fed[i]) - 1) for i in at]
        hidden = self.session.forward(fed, wanted)
        for i, row in enumerate(self.rows):
            if isinstance(row, Prefill):
                for beam in row.beams:
                    for hypothesis in beam.hypotheses:
                        hypothesis.row = i
        if not deciding:
            return
        states = [hypothesis.state for hypothesis in deciding]
        logprobs = allowed_logprobs(self.model, hidden[: len(at)], states)
        decide(deciding, at, logprobs, self.beams, self.width)
        if self.width > 1:
            return

        def after_drafts(which: list[int]) -> torch.Tensor:
            states = [draft.state for n in which if (draft := drafts[n])]
            rows = hidden[[len(at) + n for n in which]]
            return allowed_logprobs(self.model, rows, states)

        wrong = [0] * len(self.rows)
        verified = self.speculative.verify(drafts, at, self.beams, after_drafts)
        for i, count in zip(at, verified):
            wrong[i] = count
        self.session.rollback(wrong)


def queue_texts(beams: Sequence[Beam], prefix_sharing: bool) -> list[QueuedText]:
    """Requests by what they share, the longest last; among equals, the first last."""
    texts: list[QueuedText] = []
    shared: dict[PromptIds, QueuedText] = {}
    for beam in beams:
        request = beam.request
        if not (prefix_sharing and request.shared):
            texts.append(QueuedText([beam]))
            continue
        key = request.prefix, request.shared
        if key not in shared:
            shared[key] = QueuedText([])
            texts.append(shared[key])
        shared[key].beams.append(beam)
    texts.sort(key=lambda text: (max(text.lengths), -text.beams[0].index))
    return texts


def first_rows(text: QueuedText) -> Iterator[Hypothesis | Prefill]:
    """What the session reads first of a text: the hypotheses of its only request, or a
    prefill, after which those of several go on with what is not shared."""
    if len(text.beams) == 1:
        yield from text.beams[0].hypotheses
        return
    for beam in text.beams:
        for hypothesis in beam.hypotheses:
            hypothesis.unprocessed[:0] = beam.request.suffix
    yield Prefill(text.beams)


def allowed_logprobs(
    model: LanguageModel, hidden: torch.Tensor, states: Sequence[AnswerState]
) -> torch.Tensor:
    """(states, most allowed ids) log-probabilities of what each one's grammar allows,
    in its order; minus infinity past its end. Only the columns of the output matrix that
    some grammar allows are multiplied."""
    columns: dict[int, int] = {}
    flat: list[int] = []
    lengths: list[int] = []
    for state in states:
        allowed = state.allowed
        lengths.append(len(allowed))
        flat.extend([columns.setdefault(token, len(columns)) for token in allowed])
    tokens = torch.tensor(list(columns), dtype=torch.long)
    logits = model.logits(hidden, tokens).cpu()
    width = max(lengths)
    where = torch.zeros((len(states), width), dtype=torch.long)
    legal = torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]
    where[legal] = torch.tensor(flat)
    chosen = logits.gather(1, where).masked_fill(~legal, -math.inf)
    return torch.log_softmax(chosen, dim=1)
