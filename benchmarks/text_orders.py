"""Orders in which texts may be corrected: that of the page, and what it is compared with.

An order takes a project and a source of chance, and gives the texts that nobody decided about,
those to be corrected first at the beginning."""

import random
from collections.abc import Callable
from statistics import mean

from spacy_instructner.serving.project.findings import queue, uncertainties
from spacy_instructner.serving.project.project_state import ProjectState

Order = Callable[[ProjectState, random.Random], list[int]]
# How unsure a model must be about a span for it to count as near the threshold; the texts of a
# batch, of which one is drawn by chance.
NEAR, ONE_OF = 0.5, 4


def by_uncertainty(state: ProjectState, chance: random.Random) -> list[int]:
    """As the page shows them: by the span nearest to the threshold."""
    return queue(state)


def by_chance(state: ProjectState, chance: random.Random) -> list[int]:
    """All texts are as likely. It asks no model."""
    waiting = sorted(queue(state))
    chance.shuffle(waiting)
    return waiting


def by_mean(state: ProjectState, chance: random.Random) -> list[int]:
    """By the mean over the spans near the threshold, so that no single one decides.
    Source: ours."""

    def unsure(text: int) -> float:
        every = uncertainties(state.finding(text), state.least)
        near = [each for each in every if each >= NEAR]
        return mean(near) if near else 0.0

    return sorted(queue(state), key=unsure, reverse=True)


def by_share(state: ProjectState, chance: random.Random) -> list[int]:
    """By the sum over all spans for each word, so that a long text is not first because it
    has many spans. Source: ours, after MNLP (Shen et al. 2018), which divides the
    log-probability of tags by the number of words."""

    def unsure(text: int) -> float:
        own = sum(uncertainties(state.finding(text), state.least))
        return own / max(1, len(state.texts[text].text.split()))

    return sorted(queue(state), key=unsure, reverse=True)


def mixed(state: ProjectState, chance: random.Random) -> list[int]:
    """As the page shows them, but every fourth text is drawn by chance: what a model is
    wrongly sure of comes up, too. Source: ours, after epsilon-greedy choices."""
    unsure, found = queue(state), list[int]()
    drawn = by_chance(state, chance)
    for place in range(len(unsure)):
        own = drawn if place % ONE_OF == ONE_OF - 1 else unsure
        chosen = own[0]
        found.append(chosen)
        unsure.remove(chosen)
        drawn.remove(chosen)
    return found


# By name: the order, and whether it asks a model.
ORDERS: dict[str, tuple[Order, bool]] = {
    "uncertainty": (by_uncertainty, True),
    "random": (by_chance, False),
    "mean": (by_mean, True),
    "per-word": (by_share, True),
    "mixed": (mixed, True),
}
