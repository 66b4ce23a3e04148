"""The report of a matrix: what stands on the page, in order."""

from collections.abc import Sequence

from . import figures, tables
from .budget import budget
from .cells import Record
from .matrix import Matrix
from .origins import origins
from .page import Block, Marked, Page, Section
from .published import Figure, published

# What the protocols of the draws mean.
PROTOCOLS = {
    "at-least-k": "at least k entities of each label, drawn greedily",
    "at-most-k": "at most k entities of each label",
    "k-sentences": "k sentences for each label",
    "sentences": "k sentences in all",
    "all": "the whole train file",
    "given": "draws that came with the data",
    "episodes": "N labels, k to 2k entities of each to learn from and to score",
}


def report(
    matrix: Matrix,
    records: Sequence[Record],
    reference: str = "",
    literature: Sequence[Figure] = (),
    examples: Marked | None = None,
) -> Page:
    """All that the records of a matrix say.

    reference: the method that others are compared with, over the draws that both have;
    the matrix's first without one; literature: shown apart; examples: shown at the end.
    Raises ValueError for a reference that has no record."""
    groups = tables.group(matrix, records)
    if groups:
        parts = _measured(groups, reference)
        parts["Methods"] = [
            "Each is a training config or a function, and what is changed in it.",
            tables.methods(matrix, groups),
        ]
    else:
        parts = {"F1": ["Nothing is measured yet."]}
    own = [record for records in groups.values() for record in records]
    parts["Budget"] = [
        "What is left is estimated from measured cells of the same method and data, "
        "else of the method, else from all.",
        budget(matrix, own),
    ]
    if own:
        parts["Machines and versions"] = origins(own)
    if literature:
        parts["Published, not measured here"] = published(literature)
    if examples is not None:
        parts["Examples"] = [examples]
    return Page(
        matrix.title, [Section(title, blocks) for title, blocks in parts.items()]
    )


def _measured(groups: tables.Groups, reference: str) -> dict[str, list[Block]]:
    methods = tables.methods_of(groups)
    reference = reference or methods[0]
    if reference not in methods:
        raise ValueError(
            f"There is no record of {reference!r}. There are: {', '.join(methods)}."
        )
    settings = tables.settings_of(groups)
    drawn = dict.fromkeys(protocol.split()[-1] for _, protocol, _ in settings)
    meant = [f"{name}: {PROTOCOLS[name]}" for name in drawn]
    parts: dict[str, list[Block]] = {
        "F1": [
            "Strict micro F1 in percent over all labels, mean ± standard deviation "
            "over draws (number of draws). A seed is the same draw for all methods. "
            f"Draws are {'; '.join(meant)}.{_of_seen(groups)}",
            tables.f1(groups),
            *figures.f1(groups),
        ]
    }
    if len(methods) > 1:
        parts[f"F1 beside {reference}, on the same draws"] = [
            "The difference, draw by draw; and on how many draws it is above zero.",
            tables.beside(groups, reference),
        ]
    if means := tables.averaged(groups):
        blocks: list[Block] = ["Of each draw the mean F1 over the data sets."]
        blocks.append(tables.f1(means))
        if reference in tables.methods_of(means):
            blocks += [
                f"Beside {reference}: the difference, draw by draw.",
                tables.beside(means, reference),
            ]
        parts["F1, mean of data sets"] = blocks
    parts |= {
        "Errors, in percent of all": [
            "A wrong prediction is told by the annotated entity that it touches; it is "
            "spurious if it touches none. What no prediction touches is missed. "
            "Predicted: entities, mean of the draws.",
            tables.error_shares(groups),
            *figures.errors(groups),
        ],
        "Calibration error": [
            "Expected calibration error of the scores of predicted entities, in ten "
            "bins: 0 is best, 1 worst. Methods without scores have none.",
            tables.calibration(groups),
        ],
        "What a threshold could add": [
            "F1 at the threshold that is best for the very texts that are scored, less "
            "F1 without one: more than any way to choose a threshold can add.",
            tables.best_thresholds(groups),
        ],
        "Seconds": [
            "Medians of the draws; numbers of texts and entities are means.",
            tables.costs(groups),
        ],
    }
    for setting in settings:
        parts[f"F1 by label: {tables.called(setting)}"] = [
            "Of all draws together (their number).",
            tables.by_label(groups, setting),
            figures.by_label(groups, setting),
        ]
    return parts


def _of_seen(groups: tables.Groups) -> str:
    if not any(map(tables.seen, groups.values())):
        return ""
    return (
        f" {tables.SEEN} train split seen: the method had learned from it before, which "
        "is no few-shot figure."
    )
