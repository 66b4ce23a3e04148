"""Reading answers off a model: batched search under a grammar.

A state of the grammar with one way out is no decision: its tokens enter the
model together with the next question, so the model is called once a decision.
Scores are probabilities renormalised over what the grammar allowed. Source: ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from .answers import Ids
from .grammar import GrammarState
from .hypotheses import Answer, Beam, DecodingRequest, Hypothesis, ScoredSpan, decide
from .speculative import SpeculativeDecoder

__all__ = ["Answer", "DecodingRequest", "ScoredSpan", "search"]


# A question's prefix and suffix.
Prompt = tuple[Ids, Ids]


class Session(Protocol):
    """Rows that are being read by the model."""

    # Whether rows may be admitted while others are under way.
    supports_continuous_batching: bool
    # Whether a row's copies may go on with different ids of the prompt.
    supports_prefix_sharing: bool

    def add_requests(self, prompts: Sequence[Prompt]) -> Sequence[Ids]:
        """Put new rows behind those under way. RETURNS: what to feed each of them
        before anything of its answer."""

    def forward(
        self, rows: Sequence[Sequence[int]], marks: Sequence[tuple[int, int]]
    ) -> torch.Tensor:
        """Feed ids to every row. marks: (row, place of one of its ids), for each hidden
        state that is wanted. RETURNS: (marks, width) these states."""

    def rollback(self, counts: Sequence[int]) -> None:
        """Forget so many of every row's last ids."""

    def reorder(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; one may stand there twice."""

    @property
    def remaining_positions(self) -> list[int]:
        """How many ids each row can still take."""


class Reader(Protocol):
    """A model as the search sees it."""

    def open(self, prefixes: Sequence[Ids]) -> Session:
        """No rows yet. prefixes: those of all prompts to come."""

    def logits(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """(rows, width) and (n,) token ids -> (rows, n) float32 logits."""


# How many times the texts' own ids what is kept of them may take, as the longest text
# under way says how much room each has.
PADDING = 2


def search(
    reader: Reader,
    requests: Sequence[DecodingRequest],
    batch_tokens: int = 2048,
    width: int = 1,
) -> list[Answer]:
    """The answers to all questions, in their order.

    Long texts come first. Where the model's session allows it, a question takes the
    place of one that is answered at once, so that no pass is half empty.

    batch_tokens: most text ids that are under way together, and half of what they may
        be when padded to the longest; each answer kept counts as a text.
    width: answers kept at every decision. 1 is greedy: the likeliest choice every
        time. More find likelier answers; likelihoods are renormalised over what the
        grammar allows, and not by length.
    """
    beams = [Beam(index, request, []) for index, request in enumerate(requests)]
    for beam in beams:
        beam.settle([Hypothesis(beam.request.grammar.start(), []).follow()], width)
    # Answers that leave no choice are done.
    asked = [beam for beam in beams if beam.rows]
    if not asked:
        return [beam.answer for beam in beams]
    with torch.inference_mode():
        session = reader.open([beam.request.prefix for beam in asked])
        queue = _texts(asked, session.supports_prefix_sharing)
        drafts = SpeculativeDecoder()
        # Which beam and row each row of the session is.
        standing: list[tuple[Beam, Hypothesis]] = []
        while queue or standing:
            if session.supports_continuous_batching or not standing:
                standing.extend(_admit(session, queue, standing, batch_tokens, width))
            standing = _make_room(session, standing)
            if not standing:
                continue
            parents = _pass(reader, session, standing, drafts, width)
            under_way = {
                beam.index: beam
                for stem, row in standing
                for beam in row.forks or (stem,)
            }
            children = [(beam, row) for beam in under_way.values() for row in beam.rows]
            kept = [parents[id(row)] for _, row in children]
            if kept != list(range(len(standing))):
                session.reorder(kept)
            standing = children
    return [beam.answer for beam in beams]


@dataclass(frozen=True)
class _Text:
    """Questions that are admitted together."""

    beams: list[Beam]

    @property
    def prompt(self) -> Prompt:
        """What is read first, once for all of them."""
        request = self.beams[0].request
        alone = len(self.beams) == 1
        return request.prefix, request.own if alone else request.shared

    @property
    def lengths(self) -> list[int]:
        return [max(1, len(beam.request.own)) for beam in self.beams]


def _texts(beams: Sequence[Beam], forks: bool) -> list[_Text]:
    """Questions by what they share, the longest last; among equals, the first last."""
    texts: list[_Text] = []
    shared: dict[Prompt, _Text] = {}
    for beam in beams:
        request = beam.request
        if not (forks and request.shared):
            texts.append(_Text([beam]))
            continue
        key = request.prefix, request.shared
        if key not in shared:
            shared[key] = _Text([])
            texts.append(shared[key])
        shared[key].beams.append(beam)
    texts.sort(key=lambda text: (max(text.lengths), -text.beams[0].index))
    return texts


def _pass(
    reader: Reader,
    session: Session,
    standing: Sequence[tuple[Beam, Hypothesis]],
    drafts: SpeculativeDecoder,
    width: int,
) -> dict[int, int]:
    """Feed all rows and decide. RETURNS: by each new row's identity, where its parent
    stands."""
    rows = [row for _, row in standing]
    # Rows that several questions begin with have nothing to decide yet.
    asked = [at for at, row in enumerate(rows) if not row.forks]
    if width == 1:
        room = session.remaining_positions
        drafts.write([rows[at] for at in asked], [room[at] for at in asked])
    fed = [
        row.unprocessed + (row.draft.unprocessed if row.draft else []) for row in rows
    ]
    # Of every row the last id that it has said, then the last of its draft.
    marks = [(at, len(rows[at].unprocessed) - 1) for at in asked]
    marks += [(at, len(fed[at]) - 1) for at in asked]
    hidden = session.forward(fed, marks)
    parents = {
        id(row): at
        for at, stem in enumerate(rows)
        for beam in stem.forks
        for row in beam.rows
    }
    if not asked:
        return parents
    deciding = [standing[at] for at in asked]
    logprobs = _logprobs(
        reader, hidden[: len(asked)], [row.state for _, row in deciding]
    )
    decided = decide(deciding, logprobs, width)

    def after(which: list[int]) -> torch.Tensor:
        states = [draft.state for at in which if (draft := deciding[at][1].draft)]
        return _logprobs(reader, hidden[[len(asked) + at for at in which]], states)

    if width == 1:
        back = [0] * len(rows)
        for at, count in zip(asked, drafts.settle(deciding, decided, after)):
            back[at] = count
        session.rollback(back)
    parents.update((row, asked[at]) for row, at in decided.items())
    return parents


def _admit(
    session: Session,
    queue: list[_Text],
    standing: Sequence[tuple[Beam, Hypothesis]],
    batch_tokens: int,
    width: int,
) -> list[tuple[Beam, Hypothesis]]:
    """Take texts off the queue's end, as many as there is room for, one at least
    if nothing is under way."""
    lengths = {
        beam.index: len(beam.request.own)
        for stem, row in standing
        for beam in row.forks or (stem,)
    }
    longest = max(lengths.values(), default=0)
    size, count = sum(lengths.values()), len(lengths)
    new: list[tuple[Beam, Hypothesis]] = []
    prompts: list[Prompt] = []
    while queue:
        own = queue[-1].lengths
        longest = max(longest, *own)
        size, count = size + sum(own), count + len(own)
        padded = count * longest
        if (new or standing) and width * max(size, padded / PADDING) > batch_tokens:
            break
        text = queue.pop()
        first = text.beams[0]
        if len(text.beams) == 1:
            rows = [(first, row) for row in first.rows]
        else:
            for beam in text.beams:
                for row in beam.rows:
                    row.unprocessed[:0] = beam.request.suffix
            rows = [(first, Hypothesis(first.rows[0].state, [], forks=text.beams))]
        new.extend(rows)
        prompts.extend([text.prompt] * len(rows))
    if new:
        for (_, row), ids in zip(new, session.add_requests(prompts)):
            row.unprocessed[:0] = ids
    return new


def _make_room(
    session: Session, standing: list[tuple[Beam, Hypothesis]]
) -> list[tuple[Beam, Hypothesis]]:
    """Break off the answers that do not fit into the model any more."""
    kept = []
    for at, ((stem, row), room) in enumerate(
        zip(standing, session.remaining_positions)
    ):
        if len(row.unprocessed) <= room:
            kept.append(at)
            continue
        for beam in row.forks or (stem,):
            beam.done.extend(beam.rows if row.forks else [row])
            beam.rows = [
                other for other in beam.rows if not row.forks and other is not row
            ]
    if len(kept) < len(standing):
        session.reorder(kept)
    return [standing[at] for at in kept]


def _logprobs(
    reader: Reader, hidden: torch.Tensor, states: Sequence[GrammarState]
) -> torch.Tensor:
    """(states, most allowed ids) log-probabilities of what each one's grammar allows,
    in its order; minus infinity past its end."""
    columns: dict[int, int] = {}
    flat: list[int] = []
    lengths: list[int] = []
    for state in states:
        allowed = state.allowed
        lengths.append(len(allowed))
        flat.extend([columns.setdefault(token, len(columns)) for token in allowed])
    tokens = torch.tensor(list(columns), dtype=torch.long)
    logits = reader.logits(hidden, tokens).cpu()
    width = max(lengths)
    where = torch.zeros((len(states), width), dtype=torch.long)
    legal = torch.arange(width)[None, :] < torch.tensor(lengths)[:, None]
    where[legal] = torch.tensor(flat)
    chosen = logits.gather(1, where).masked_fill(~legal, -math.inf)
    return torch.log_softmax(chosen, dim=1)
