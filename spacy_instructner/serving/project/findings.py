"""What a project shows: of each text, of the next one, of a threshold, of two models. Plain
data in, plain data out. Source: ours.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ...char_spans import CharSpan, ScoredCharSpan
from ...evaluation.metrics import count, total
from ...evaluation.predicted_texts import entities_above
from .exporting import ExportedText
from .project_state import Decision, ProjectState, TextFinding, overlaps

Event = dict[str, Any]
# Characters around a span, where it is shown in a list; rows of such a list.
AROUND, MOST_ROWS = 40, 30


def predicted(
    state: ProjectState,
    text: int,
    model: int | None = None,
    least: float | None = None,
) -> list[ScoredCharSpan]:
    """The entities that a model found in a text.

    model (int | None): the present one by default.
    least (float | None): the threshold; the project's by default.
    RETURNS (list[ScoredCharSpan]): in text order, with labels that the project has."""
    finding = state.finding(text, model)
    if finding is None:
        return []
    chosen = chosen_of(finding, state.least if least is None else least)
    return [span for span in chosen if span[2] in state.labels]


def chosen_of(finding: TextFinding, least: float) -> list[ScoredCharSpan]:
    """The entities of a finding at a threshold, in text order."""
    fixed: list[ScoredCharSpan] = [(*span, None) for span in finding.fixed]
    return sorted(entities_above(fixed, finding.spans, least, {}), key=lambda s: s[:3])


def current(state: ProjectState, text: int) -> list[CharSpan]:
    """The entities of a text: by its decisions and markings, over what is predicted."""
    return state.decided(text, [span[:3] for span in predicted(state, text)])


def status(state: ProjectState, text: int) -> str:
    """ "accepted", "corrected" or "rejected"; "failed" or "found" where nobody decided;
    "new" where no model was asked."""
    decision = state.decision(text)
    if decision is not None:
        if decision.answer == "reject":
            return "rejected"
        return "corrected" if decision.changed else "accepted"
    finding = state.finding(text)
    return "new" if finding is None else "failed" if finding.error else "found"


def text_view(state: ProjectState, text: int) -> Event:
    """A text for the page, without its words: see `docs/how-to/serve.md`."""
    own, finding = state.texts[text], state.finding(text)
    scores = {span[:3]: span[3] for span in predicted(state, text)}
    spans = current(state, text)
    return {
        "id": own.id,
        "text": own.text,
        "source": own.source,
        "name": own.name,
        "status": status(state, text),
        "error": finding.error if finding else "",
        "seen": state.changed[text],
        "spans": [
            {"start": a, "end": b, "label": label, "score": scores.get((a, b, label))}
            for a, b, label in spans
        ],
    }


# The queue.


def uncertainty(finding: TextFinding | None, least: float) -> float:
    """How unsure a model is about a text, from 0 to 1: that of the span whose score is
    nearest to the threshold, from either side; 0 where nothing was near. Source: ours,
    after margin sampling (Scheffer et al. 2001)."""
    return max(uncertainties(finding, least), default=0.0)


def uncertainties(finding: TextFinding | None, least: float) -> list[float]:
    """How unsure a model is about each span that has a score, from 0 (a score of 0 or 1)
    to 1 (that of the threshold). Source: ours."""
    scores = [s for *_, s in finding.spans if s is not None] if finding else []
    return [
        score / least
        if score < least
        else (1 - score) / (1 - least)
        if least < 1
        else 1.0
        for score in scores
    ]


def queue(state: ProjectState) -> list[int]:
    """The texts that nobody decided about, the least certain first; those that no model
    was asked about in their order at the end, before those that failed."""
    asked, least = state.asked, state.least
    found = state.found.get(state.using, {})

    def rank(text: int) -> tuple[int, float, int]:
        finding = found.get(text)
        if finding is None or finding.asked != asked:
            return 1, 0.0, text
        if finding.error:
            return 2, 0.0, text
        return 0, -uncertainty(finding, least), text

    return sorted((t for t in state.texts if state.decision(t) is None), key=rank)


# Search.


def search(state: ProjectState, words: str, only: str = "") -> list[int]:
    """The texts that hold these words, whatever their case, in order. only: a `status`,
    or the name of a label after "label:"; "" for all."""
    wanted = words.casefold()
    found = [t for t, own in state.texts.items() if wanted in own.text.casefold()]
    if only.startswith("label:"):
        label = only.removeprefix("label:")
        return [t for t in found if any(s[2] == label for s in current(state, t))]
    return [t for t in found if not only or status(state, t) == only]


def alike(
    state: ProjectState, words: str, label: str, case: bool
) -> dict[int, list[CharSpan]]:
    """The places of some words that could be marked with a label, by text.

    words (str): the words; case (bool): whether upper case counts.
    RETURNS (dict): places that do not have the label yet. What somebody decided stays:
        there, only free places count."""
    if not words.strip():
        return {}
    pattern = re.compile(
        rf"(?<!\w){re.escape(words.strip())}(?!\w)", 0 if case else re.IGNORECASE
    )
    places: dict[int, list[CharSpan]] = {}
    for text, own in state.texts.items():
        matches = [(m.start(), m.end(), label) for m in pattern.finditer(own.text)]
        if not matches:
            continue
        there = current(state, text)
        decided = state.decision(text) is not None
        places[text] = [
            span
            for span in matches
            if span not in there and not (decided and overlaps(span, there))
        ]
    return {text: spans for text, spans in places.items() if spans}


def marked_alike(
    state: ProjectState, words: str, case: bool
) -> dict[int, list[CharSpan]]:
    """The entities that are these words, by text: to unmark them."""
    wanted = words.strip() if case else words.strip().casefold()
    places: dict[int, list[CharSpan]] = {}
    for text, own in state.texts.items():
        for start, end, label in current(state, text):
            found = own.text[start:end]
            if (found if case else found.casefold()) == wanted:
                places.setdefault(text, []).append((start, end, label))
    return places


# Thresholds, and what models differ in.


def place_row(state: ProjectState, text: int, span: ScoredCharSpan) -> Event:
    """A span with the words around it."""
    own, (start, end, label, score) = state.texts[text].text, span
    return {
        "id": text,
        "before": own[max(0, start - AROUND) : start],
        "words": own[start:end],
        "after": own[end : end + AROUND],
        "label": label,
        "score": score,
    }


def threshold_view(state: ProjectState, value: float) -> Event:
    """What another threshold would hide and show of what the present model found."""
    hidden: list[Event] = []
    shown: list[Event] = []
    counts: Counter[str] = Counter()
    for text in state.texts:
        now, then = predicted(state, text), predicted(state, text, least=value)
        counts.update(span[2] for span in then)
        gone, new = set(now) - set(then), set(then) - set(now)
        hidden += [place_row(state, text, span) for span in gone]
        shown += [place_row(state, text, span) for span in new]
    hidden.sort(key=lambda row: row["score"], reverse=True)
    shown.sort(key=lambda row: row["score"])
    return {
        "value": value,
        "entities": sum(counts.values()),
        "labels": dict(sorted(counts.items())),
        "hides": len(hidden),
        "shows": len(shown),
        "hidden": hidden[:MOST_ROWS],
        "shown": shown[:MOST_ROWS],
        "scores": scores_of(state, state.using, value),
    }


def scores_of(state: ProjectState, model: int, least: float) -> Event | None:
    """Precision, recall and F1 of a model on the texts that somebody decided about; None
    where there are none. (A model that learned from them has an easy time.)"""
    gold, found = [], []
    for text in accepted(state):
        if state.finding(text, model) is not None:
            gold.append(current(state, text))
            found.append(predicted(state, text, model, least))
    if not gold:
        return None
    own = total(count(gold, found).values())
    return {
        "texts": len(gold),
        "precision": own.precision,
        "recall": own.recall,
        "f1": own.f1,
    }


def comparison(state: ProjectState, first: int, second: int) -> Event:
    """Text by text, what a second model finds and a first did not, and the reverse."""
    rows = list(_differences(state, first, second))
    both = [
        t for t in state.texts if state.finding(t, first) and state.finding(t, second)
    ]
    return {
        "texts": len(both),
        "all": len(state.texts),
        "gained": sum(len(row["gained"]) for row in rows),
        "lost": sum(len(row["lost"]) for row in rows),
        "scores": [scores_of(state, model, state.least) for model in (first, second)],
        "rows": rows,
    }


def _differences(state: ProjectState, first: int, second: int) -> Iterator[Event]:
    for text, own in state.texts.items():
        if not (state.finding(text, first) and state.finding(text, second)):
            continue
        was = {span[:3]: span for span in predicted(state, text, first)}
        now = {span[:3]: span for span in predicted(state, text, second)}
        if was.keys() == now.keys():
            continue
        yield {
            "id": text,
            "text": own.text,
            "gained": [_span(now[key]) for key in sorted(now.keys() - was.keys())],
            "lost": [_span(was[key]) for key in sorted(was.keys() - now.keys())],
            "kept": [_span(now[key]) for key in sorted(now.keys() & was.keys())],
        }


def _span(span: ScoredCharSpan) -> Event:
    start, end, label, score = span
    return {"start": start, "end": end, "label": label, "score": score}


# What goes out.


def accepted(state: ProjectState) -> list[int]:
    """The texts whose entities are known: what is learned from."""
    decisions = ((text, state.decision(text)) for text in state.texts)
    return [
        text for text, own in decisions if own is not None and own.answer == "accept"
    ]


def exported(state: ProjectState, every: bool, rejected: bool) -> list[ExportedText]:
    """The texts to export. every: those that nobody decided about, too, with what was
    found; rejected: those that were set aside, too."""
    found = []
    for text, own in state.texts.items():
        decision: Decision | None = state.decision(text)
        answer = decision.answer if decision else ""
        if answer == "accept" or (every and not answer) or (rejected and answer):
            spans = tuple(current(state, text))
            found.append(ExportedText(own.text, spans, own.source, own.name, answer))
    return found
