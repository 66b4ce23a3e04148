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
    (
        "Training that goes on",
        "`resume_training`, `create_optimizer`, `debug data`, `debug model` and spaCy's "
        "other entry points take every shipped config.",
        (
            "test_entry_points.py::test_a_pipeline_in_memory",
            "test_entry_points.py::test_commands_that_look_at_a_config",
            "test_entry_points.py::test_debug_data",
            "test_entry_points.py::test_debug_model",
            "test_entry_points.py::test_training_goes_on_from_a_trained_pipeline",
            "test_entry_points.py::test_commands_that_take_a_trained_pipeline",
        ),
    ),
    (
        "Files of other tools",
        "They are read right, or refused with the file and the line: 2,000 damaged files "
        "of each of 25 kinds.",
        (
            "test_readers.py::test_rows_of_json",
            "test_readers.py::test_lines_of_columns",
            "test_readers.py::test_lines_of_pipes",
            "test_readers.py::test_texts_to_annotate",
            "test_formats.py::test_rows_that_are_refused",
            "test_formats.py::test_conll_that_is_refused",
        ),
    ),
    (
        "Annotation that was rejected, or is missing",
        "A rejected span, an ignored task and a tag `-` are neither an entity nor none.",
        (
            "test_formats.py::test_a_rejected_span_is_no_entity_and_not_none_either",
            "test_formats.py::test_tasks_that_do_not_count",
            "test_formats.py::test_a_hyphen_is_no_annotation",
        ),
    ),
    (
        "Encodings",
        "UTF-8, with or without its mark; anything else is named, with the byte and the "
        "option, unless the option names it.",
        (
            "test_annotating.py::test_an_undecodable_line_is_a_problem_of_its_own",
            "test_annotating.py::test_utf16_is_refused_as_a_whole",
            "test_cli.py::test_commands_read_other_encodings",
            "test_formats.py::test_readers_of_configs_have_an_encoding",
            "test_formats.py::test_half_characters_are_told",
        ),
    ),
    (
        "Output onto input",
        "No command writes over what it reads, nor under a name that it could not read.",
        (
            "test_formats.py::test_where_is_written_to",
            "test_cli.py::test_convert_says_what_it_cannot_write",
        ),
    ),
    (
        "Docs whose tokens change behind the component",
        "A score is a span's own or none; the span group follows, or drops what no tokens "
        "make up with a warning.",
        (
            "test_span_groups.py::test_a_score_is_a_spans_own_or_none",
            "test_span_groups.py::test_a_pipeline_that_merges",
            "test_span_groups.py::test_tokens_that_are_split",
            "test_span_groups.py::test_joined_docs_have_spans_and_no_scores",
            "test_span_groups.py::test_a_stored_doc_that_is_merged_later",
        ),
    ),
    (
        "A text that fails",
        "It is that text's row; the others go on.",
        (
            "test_annotating.py::test_whatever_a_component_does_is_told_of_its_text",
            "test_annotating.py::test_what_cannot_be_saved_is_a_problem_of_its_own",
            "test_cli.py::test_render_shows_which_text_failed",
            "test_cli.py::test_find_threshold_leaves_out_what_fails",
            "test_serving.py::test_time_and_errors_are_events",
        ),
    ),
    (
        "An entity that does not fall on tokens",
        "It costs its own tokens and its own label, and what it costs is told, in entities "
        "and in answer ids.",
        (
            "test_annotations.py::test_a_misaligned_entity_costs_the_tokens_that_it_touches",
            "test_cllmfs.py::test_an_entity_that_is_lost_costs_its_own_label_alone",
            "test_formats.py::test_lost_entities_are_missing_and_keep_their_labels",
            "test_training.py::test_what_missing_annotation_costs_is_told",
        ),
    ),
    (
        "Settings that nothing hears",
        "Paths that nothing reads, words for labels that are not there, overrides at load, "
        "label keys that a config cannot hold and a span group that two components share "
        "are heard, or refused.",
        (
            "test_settings.py::test_development_data_is_read_or_refused",
            "test_settings.py::test_paths_that_nothing_reads_are_refused",
            "test_settings.py::test_words_for_labels_that_are_not_there",
            "test_settings.py::test_what_is_given_to_load_wins",
            "test_settings.py::test_any_label_survives_or_is_refused",
            "test_settings.py::test_two_components_of_one_span_group_are_refused",
        ),
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
