"""A task bound to a model's tokenizer and some labels: the demonstrations that it shows,
and how much text its prompt leaves room for. Source: ours."""

from collections.abc import Sequence
from typing import Any

from spacy.tokens import Doc
from spacy.util import get_lang_class
from spacy.vocab import Vocab

from .data.gold import read_example
from .locks import Cache
from .models.backbone import Backbone
from .tasks.base import BoundTask, Demonstration, Encoder, ExampleReader, Task
from .tasks.labels import LabelSet
from .windows import BoundWindow, SpanGetter, encode_windows, spaces_before

# Bound tasks, by the encoder, labels and demonstrations that they are bound to.
BoundTasks = Cache[tuple[Encoder, LabelSet, tuple[Demonstration, ...]], BoundTask]
# How many of them a component keeps.
MOST_BOUND = 256


def bind_task(
    task: Task,
    backbone: Backbone,
    labels: LabelSet,
    max_span: int,
    demonstrations: tuple[Demonstration, ...],
) -> BoundTask:
    """The task for this model and these labels. max_span: most words in a span, 0 for no
    limit."""
    return task.bind(
        backbone.encoder,
        labels,
        end=backbone.tokenizer.eos_token_id,
        max_span=max_span,
        layout=backbone.layout,
        demonstrations=demonstrations,
    )


def read_demonstrations(reader: ExampleReader, vocab: Vocab) -> list[dict[str, Any]]:
    """The examples that a task shows, as data that JSON can hold: "words", "spaces"
    (whether whitespace stands before each) and "entities"."""
    nlp = get_lang_class(vocab.lang or "xx")(vocab=vocab)
    return [
        {
            "words": [token.text for token in example.predicted],
            "spaces": spaces_before(example.predicted),
            "entities": [list(each) for each in read_example(example).gold.entities],
        }
        for example in reader(nlp)
    ]


def make_demonstrations(saved: Sequence[dict[str, Any]]) -> tuple[Demonstration, ...]:
    """What `read_demonstrations` read."""
    return tuple(
        Demonstration(
            tuple(row["words"]),
            tuple(row["spaces"]),
            tuple((start, end, label) for start, end, label in row["entities"]),
        )
        for row in saved
    )


def window_budget(
    task: BoundTask, positions: int, max_window: int, window_overlap: int
) -> tuple[int, int]:
    """Most model tokens in a window, and how many of them neighbours share.

    positions: of the model; max_window, window_overlap: the most of each, as configured.
    Raises ValueError where the prompt alone takes all positions."""
    # Prompt, text and answer share the positions; an answer says the text once at most,
    # and labels besides.
    room = (positions - task.constant()) // 3
    if room < 1:
        raise ValueError(
            f"The prompt without any text takes {task.constant()} of the model's "
            f"{positions} positions: there is no room for a text. Ask for fewer labels, "
            "or with shorter words."
        )
    budget = min(max_window, room)
    if budget < max_window:
        window_overlap = min(window_overlap, budget // 2)
    return budget, window_overlap


def bind_windows(
    backbone: Backbone,
    docs: Sequence[Doc],
    labels: Sequence[LabelSet],
    tasks: Sequence[BoundTask],
    getter: SpanGetter,
    limits: tuple[int, int],
) -> list[BoundWindow]:
    """Cut Docs into windows and encode them.

    labels, tasks: of each Doc; getter: proposes windows; limits: `max_window` and
    `window_overlap`, as configured."""
    budgets = {
        task: window_budget(task, backbone.positions, *limits)
        for task in dict.fromkeys(tasks)
    }
    windows, words = encode_windows(
        backbone.encoder, getter, list(docs), [budgets[task] for task in tasks]
    )
    return [
        BoundWindow(window, own, labels[window.doc], tasks[window.doc])
        for window, own in zip(windows, words)
    ]
