"""Reading answers off a model: batched search under a grammar.

A state of the grammar with one way out is no decision: its tokens enter the
model together with the next question, so the model is called once a decision.
Scores are probabilities renormalised over what the grammar allowed. Source: ours.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Protocol, Sequence, Tuple

import torch

from .answers import Ids
from .grammar import Grammar, State


@dataclass(frozen=True)
class Question:
    """One prompt. prefix: the ids that stay the same from text to text;
    suffix: the ids of the text and of what follows it."""

    prefix: Ids
    suffix: Ids
    grammar: Grammar


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

    spans: Tuple[ScoredSpan, ...]
    ids: Ids
    logprob: float
    complete: bool = True


# A question's prefix and suffix.
Prompt = Tuple[Ids, Ids]


class Session(Protocol):
    """Rows that are being read by the model."""

    # Whether rows may be admitted while others are under way.
    joins: bool

    def admit(self, prompts: Sequence[Prompt]) -> Sequence[Ids]:
        """Put new rows behind those under way. RETURNS: what to feed each of them
        before anything of its answer."""

    def extend(
        self, rows: Sequence[Sequence[int]], marks: Sequence[Tuple[int, int]]
    ) -> torch.Tensor:
        """Feed ids to every row. marks: (row, place of one of its ids), for each hidden
        state that is wanted. RETURNS: (marks, width) these states."""

    def take_back(self, counts: Sequence[int]) -> None:
        """Forget so many of every row's last ids."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; one may stand there twice."""

    @property
    def room(self) -> List[int]:
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

# An answer id, log-probability of it, and the part of it that says "the label
# before has ended" (0 where nothing else was possible).
Decision = Tuple[int, float, float]


@dataclass
class _Row:
    """One answer under way. pending: the ids the model has not read yet."""

    state: State
    pending: List[int]
    ids: List[int] = field(default_factory=list)
    decisions: List[Decision] = field(default_factory=list)
    logprob: float = 0.0
    # What may come next, fed together with `pending`.
    draft: "Optional[_Row]" = None

    def take(self, token: int) -> None:
        self.ids.append(token)
        self.pending.append(token)
        self.state = self.state.step(token)

    def follow(self) -> "_Row":
        """Write all that is forced."""
        while not self.state.done and len(self.state.allowed) == 1:
            self.take(self.state.allowed[0])
        return self

    def ahead(self, token: int) -> "_Row":
        """The row if this id came next."""
        row = _Row(self.state, [], list(self.ids))
        row.take(token)
        return row.follow()

    def decide(self, at: int, logprob: float, logprobs: torch.Tensor) -> "_Row":
        """The row after one of the allowed ids, by its place among them."""
        token = self.state.allowed[at]
        decision = (len(self.ids), logprob, _ended_part(self.state, token, logprobs))
        row = _Row(
            self.state,
            [],
            list(self.ids),
            [*self.decisions, decision],
            self.logprob + logprob,
        )
        row.take(token)
        return row.follow()


@dataclass
class _Beam:
    """The answers to one question: those under way, and those that are done (or
    have no room left)."""

    index: int
    question: Question
    rows: List[_Row]
    done: List[_Row] = field(default_factory=list)

    def settle(self, rows: List[_Row], width: int) -> None:
        """Go on with the best of these; stop when none can beat what is done,
        as log-probabilities only fall."""
        self.done.extend(row for row in rows if row.state.done)
        self.rows = [row for row in rows if not row.state.done]
        best = max((row.logprob for row in self.done), default=-math.inf)
        self.rows = [row for row in self.rows if row.logprob > best][:width]

    @property
    def answer(self) -> Answer:
        return _finish(max(self.done, key=lambda row: row.logprob))


def search(
    reader: Reader,
    questions: Sequence[Question],
    batch_tokens: int = 2048,
    width: int = 1,
) -> List[Answer]:
    """The answers to all questions, in their order.

    Long texts come first. Where the model's session allows it, a question takes the
    place of one that is answered at once, so that no pass is half empty.

    batch_tokens: most text ids that are under way together, and half of what they may
        be when padded to the longest; each answer kept counts as a text.
    width: answers kept at every decision. 1 is greedy: the likeliest choice every
        time. More find likelier answers; likelihoods are renormalised over what the
        grammar allows, and not by length.
    """
    queue = [_Beam(index, question, []) for index, question in enumerate(questions)]
    for beam in queue:
        beam.settle([_Row(beam.question.grammar.start(), []).follow()], width)
    beams = list(queue)
    # Answers that leave no choice are done.
    queue = [beam for beam in queue if beam.rows]
    queue.sort(key=lambda beam: (len(beam.question.suffix), -beam.index))
    if not queue:
        return [beam.answer for beam in beams]
    with torch.inference_mode():
        session = reader.open([beam.question.prefix for beam in queue])
        drafts = _Drafts()
        # Which beam and row each row of the session is.
        standing: List[Tuple[_Beam, _Row]] = []
        while queue or standing:
            if session.joins or not standing:
                standing.extend(_admit(session, queue, standing, batch_tokens, width))
            standing = _make_room(session, standing)
            if not standing:
                continue
            parents = _pass(reader, session, standing, drafts, width)
            under_way = {beam.index: beam for beam, _ in standing}.values()
            children = [(beam, row) for beam in under_way for row in beam.rows]
            kept = [parents[id(row)] for _, row in children]
            if kept != list(range(len(standing))):
                session.keep(kept)
            standing = children
    return [beam.answer for beam in beams]


def _pass(
    reader: Reader,
    session: Session,
    standing: Sequence[Tuple[_Beam, _Row]],
    drafts: "_Drafts",
    width: int,
) -> Dict[int, int]:
    """Feed all rows and decide. RETURNS: as `_decide`."""
    rows = [row for _, row in standing]
    if width == 1:
        drafts.write(rows, session.room)
    fed = [row.pending + (row.draft.pending if row.draft else []) for row in rows]
    # Of every row the last id that it has said, then the last of its draft.
    marks = [(at, len(row.pending) - 1) for at, row in enumerate(rows)]
    marks += [(at, len(ids) - 1) for at, ids in enumerate(fed)]
    hidden = session.extend(fed, marks)
    logprobs = _logprobs(reader, hidden[: len(rows)], [row.state for row in rows])
    parents = _decide(standing, logprobs, width)

    def after(which: List[int]) -> torch.Tensor:
        states = [draft.state for at in which if (draft := rows[at].draft)]
        return _logprobs(reader, hidden[[len(rows) + at for at in which]], states)

    if width == 1:
        session.take_back(drafts.settle(standing, parents, after))
    return parents


def _admit(
    session: Session,
    queue: List[_Beam],
    standing: Sequence[Tuple[_Beam, _Row]],
    batch_tokens: int,
    width: int,
) -> List[Tuple[_Beam, _Row]]:
    """Take questions off the queue's end, as many as there is room for, one at least
    if nothing is under way."""
    lengths = {beam.index: len(beam.question.suffix) for beam, _ in standing}
    longest = max(lengths.values(), default=0)
    size, count = sum(lengths.values()), len(lengths)
    new: List[Tuple[_Beam, _Row]] = []
    while queue:
        length = max(1, len(queue[-1].question.suffix))
        longest = max(longest, length)
        size, count = size + length, count + 1
        padded = count * longest
        if count > 1 and width * max(size, padded / PADDING) > batch_tokens:
            break
        beam = queue.pop()
        new.extend((beam, row) for row in beam.rows)
    if new:
        begin = session.admit(
            [(beam.question.prefix, beam.question.suffix) for beam, _ in new]
        )
        for (_, row), ids in zip(new, begin):
            row.pending[:0] = ids
    return new


def _make_room(
    session: Session, standing: List[Tuple[_Beam, _Row]]
) -> List[Tuple[_Beam, _Row]]:
    """Break off the answers that do not fit into the model any more."""
    kept = []
    for at, ((beam, row), room) in enumerate(zip(standing, session.room)):
        if len(row.pending) > room:
            beam.rows = [other for other in beam.rows if other is not row]
            beam.done.append(row)
        else:
            kept.append(at)
    if len(kept) < len(standing):
        session.keep(kept)
    return [standing[at] for at in kept]


class _Drafts:
    """Guesses at what rows will say, read in the same pass as what they have said.

    Where a guess is right, a decision costs no pass of its own; where it is wrong, what
    was read of it is taken back. The answers are the same. How often each guessed id
    was right is counted, and what is mostly wrong is no more tried."""

    TRIALS = 24
    WORTH_IT = 0.25

    def __init__(self) -> None:
        self._tried: Counter = Counter()
        self._right: Counter = Counter()

    def write(self, rows: Sequence[_Row], room: Sequence[int]) -> None:
        """Put a draft on rows for which there is a good guess, and room."""
        for row, space in zip(rows, room):
            token = row.state.guess()
            if token is None or not self._worth_it(token):
                continue
            draft = row.ahead(token)
            if not draft.state.done and len(row.pending) + len(draft.pending) <= space:
                row.draft = draft

    def _worth_it(self, token: int) -> bool:
        tried = self._tried[token]
        return tried < self.TRIALS or self._right[token] >= self.WORTH_IT * tried

    def settle(
        self,
        standing: Sequence[Tuple[_Beam, _Row]],
        parents: Dict[int, int],
        logprobs: Callable[[List[int]], torch.Tensor],
    ) -> List[int]:
        """Go on with the guesses that were right: decide once more.

        parents: where the rows now under way come from; kept up to date. logprobs:
        gives those at the decisions after these rows' drafts. RETURNS: how many ids to
        take back of every row."""
        back = [0] * len(standing)
        right: List[int] = []
        children: List[Tuple[_Beam, _Row]] = []
        for at, (beam, row) in enumerate(standing):
            if row.draft is None:
                continue
            (child,) = beam.rows or beam.done
            token = row.draft.pending[0]
            self._tried[token] += 1
            if child.ids == row.draft.ids:
                self._right[token] += 1
                child.pending = []
                right.append(at)
                children.append((beam, child))
            else:
                back[at] = len(row.draft.pending)
        if right:
            for row_id, at in _decide(children, logprobs(right), 1).items():
                parents[row_id] = right[at]
        return back


def _logprobs(
    reader: Reader, hidden: torch.Tensor, states: Sequence[State]
) -> torch.Tensor:
    """(states, most allowed ids) log-probabilities of what each one's grammar allows,
    in its order; minus infinity past its end."""
    columns: Dict[int, int] = {}
    flat: List[int] = []
    lengths: List[int] = []
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


def _decide(
    standing: Sequence[Tuple[_Beam, _Row]], logprobs: torch.Tensor, width: int
) -> Dict[int, int]:
    """Choose the next ids of every beam. RETURNS: by each new row's identity,
    where its parent stands."""
    top = logprobs.topk(min(width, logprobs.shape[1]), dim=1)
    values, places = top.values.tolist(), top.indices.tolist()
    # Per beam: (log-probability, where the parent stands, which of its ids).
    options: Dict[int, List[Tuple[float, int, int, float]]] = {}
    for at, (beam, row) in enumerate(standing):
        options.setdefault(beam.index, []).extend(
            (row.logprob + value, at, place, value)
            for value, place in zip(values[at], places[at])
            if value > -math.inf
        )
    parents: Dict[int, int] = {}
    beams = {beam.index: beam for beam, _ in standing}
    for index, found in options.items():
        found.sort(key=lambda option: (-option[0], option[1], option[2]))
        rows = []
        for _, at, place, value in found[:width]:
            row = standing[at][1].decide(place, value, logprobs[at])
            parents[id(row)] = at
            rows.append(row)
        beams[index].settle(rows, width)
    return parents


def _ended_part(state: State, token: int, logprobs: torch.Tensor) -> float:
    """How likely it was that the label before had ended, where it need not have
    (a label whose words begin another's)."""
    ended = state.ended
    if token not in ended or len(ended) == len(state.allowed):
        return 0.0
    at = [i for i, allowed in enumerate(state.allowed) if allowed in ended]
    return float(torch.logsumexp(logprobs[at], dim=0))


def _finish(row: _Row) -> Answer:
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
