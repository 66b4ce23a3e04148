"""How much text a prompt leaves room for."""

import pytest

from spacy_instructner.binding import make_demonstrations, window_budget
from spacy_instructner.tasks.base import BoundTask, Demonstration


def task_with(constant: int) -> BoundTask:
    class Constant:
        def constant(self) -> int:
            return constant

    return Constant()  # type: ignore[return-value]


def test_prompt_text_and_answer_share_the_positions() -> None:
    # (512 - 212) / 3, and no more than what is configured.
    assert window_budget(task_with(212), 512, 512, 64) == (100, 50)
    assert window_budget(task_with(212), 512, 512, 20) == (100, 20)
    assert window_budget(task_with(212), 512, 100, 64) == (100, 64)
    assert window_budget(task_with(0), 3000, 512, 511) == (512, 511)


def test_a_prompt_that_leaves_no_room_is_refused() -> None:
    assert window_budget(task_with(509), 512, 512, 64) == (1, 0)
    with pytest.raises(ValueError, match="takes 510 of the model's 512 positions"):
        window_budget(task_with(510), 512, 512, 64)


def test_saved_demonstrations_are_what_was_read() -> None:
    rows = [{"words": ["a", "b"], "spaces": [False, True], "entities": [[0, 1, "X"]]}]
    (made,) = make_demonstrations(rows)
    assert made == Demonstration(("a", "b"), (False, True), ((0, 1, "X"),))
    # They are a part of a cache's key.
    assert hash(made) == hash(make_demonstrations(rows)[0])
