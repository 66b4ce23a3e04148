"""Kinds of faults that would be silent, and the tests that hold that they are not."""

from spacy_instructner.bench.page import Section, Table

# (kind, what holds, tests as file::function)
FAULTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "First calls from several threads",
        "They answer as one thread does, and so does every later call.",
        (
            "test_threads.py::test_first_calls_of_a_loaded_pipeline",
            "test_threads.py::test_first_calls_that_load_the_weights",
        ),
    ),
    (
        "A pipeline that many threads share",
        "Answers are those of one thread, to the bit in float32, whatever labels each "
        "thread asks for.",
        (
            "test_threads.py::test_a_pipeline_that_has_answered_before",
            "test_threads.py::test_other_labels_in_every_thread",
            "test_threads.py::test_what_is_kept_as_io_is_of_the_text",
            "test_threads.py::test_the_default_in_32_threads",
        ),
    ),
    (
        "Pipelines that load while others answer",
        "Loading is one at a time, and disturbs nobody, nor does somebody else's.",
        (
            "test_threads.py::test_several_pipelines_load_and_answer_side_by_side",
            "test_threads.py::test_somebody_elses_loading",
        ),
    ),
    (
        "Training while other threads annotate",
        "A text is answered by the weights before an update or after one; a change of "
        "labels is seen as a whole.",
        (
            "test_threads.py::test_training_while_others_annotate",
            "test_threads.py::test_all_weights_learn_while_others_annotate",
            "test_threads.py::test_labels_are_changed_as_a_whole",
        ),
    ),
    (
        "Interrupts: Ctrl-C, time limits",
        "The pipeline is as before the call or as after it, wherever it stopped; half of "
        "a step of training is no part of the next.",
        (
            "test_threads.py::test_an_interrupted_first_call",
            "test_threads.py::test_an_interrupted_loading",
            "test_threads.py::test_an_interrupted_beginning_of_training",
            "test_threads.py::test_an_interrupted_update",
        ),
    ),
    (
        "Processes, forked or spawned; asyncio",
        "`n_process` answers alike after threads and among them; so do tasks of asyncio.",
        (
            "test_threads.py::test_processes_after_threads_and_among_them",
            "test_threads.py::test_a_fork_waits_for_loading_and_finds_other_locks_free",
            "test_pipe.py::test_n_process_however_processes_are_started",
            "test_threads.py::test_tasks_of_asyncio",
        ),
    ),
    (
        "The page's server",
        "Whoever asks while a training is under way is answered by the pipeline before "
        "it, or after it.",
        ("test_serving.py::test_many_ask_at_once_while_one_trains",),
    ),
)


def tell_faults() -> Section:
    """Tests, so no figures."""
    rows = [
        (kind, holds, ", ".join(f"`{test}`" for test in tests))
        for kind, holds, tests in FAULTS
    ]
    return Section(
        "What is not silent",
        [
            "Faults that give wrong answers without an error are the worst. These are the "
            "kinds that were found, and the tests in `tests/` that fail where one comes "
            "back.",
            Table(("Kind", "What holds", "Tests"), rows),
        ],
    )
