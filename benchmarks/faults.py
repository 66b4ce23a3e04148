"""Kinds of faults that would be silent, and the tests that hold that they are not."""

from spacy_instructner.bench.page import Section, Table

# (kind, what holds, tests as file::function)
FAULTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "First calls from several threads",
        "They answer as one thread does, and so does every later call.",
        (
            "whole/test_threads.py::test_first_calls_of_a_loaded_pipeline",
            "whole/test_threads.py::test_first_calls_that_load_the_weights",
        ),
    ),
    (
        "A pipeline that many threads share",
        "Answers are those of one thread, to the bit in float32, whatever labels each "
        "thread asks for.",
        (
            "whole/test_threads.py::test_a_pipeline_that_has_answered_before",
            "whole/test_threads.py::test_other_labels_in_every_thread",
            "whole/test_forks.py::test_what_is_kept_as_io_is_of_the_text",
            "whole/test_threads.py::test_the_default_in_32_threads",
        ),
    ),
    (
        "Pipelines that load while others answer",
        "Loading is one at a time, and disturbs nobody, nor does somebody else's.",
        (
            "whole/test_threads.py::test_several_pipelines_load_and_answer_side_by_side",
            "whole/test_threads.py::test_somebody_elses_loading",
        ),
    ),
    (
        "Training while other threads annotate",
        "A text is answered by the weights before an update or after one; a change of "
        "labels is seen as a whole.",
        (
            "whole/test_threads.py::test_training_while_others_annotate",
            "whole/test_threads.py::test_all_weights_learn_while_others_annotate",
            "whole/test_threads.py::test_labels_are_changed_as_a_whole",
        ),
    ),
    (
        "Interrupts: Ctrl-C, time limits",
        "The pipeline is as before the call or as after it, wherever it stopped; half of "
        "a step of training is no part of the next.",
        (
            "whole/test_interrupts.py::test_an_interrupted_first_call",
            "whole/test_interrupts.py::test_an_interrupted_loading",
            "whole/test_interrupts.py::test_an_interrupted_beginning_of_training",
            "whole/test_interrupts.py::test_an_interrupted_update",
        ),
    ),
    (
        "Processes, forked or spawned; asyncio",
        "`n_process` answers alike after threads and among them; so do tasks of asyncio.",
        (
            "whole/test_forks.py::test_processes_after_threads_and_among_them",
            "whole/test_forks.py::test_a_fork_waits_for_loading_and_finds_other_locks_free",
            "test_component_errors.py::test_n_process_however_processes_are_started",
            "whole/test_forks.py::test_tasks_of_asyncio",
        ),
    ),
    (
        "The page's server",
        "Whoever asks while a training is under way is answered by the pipeline before "
        "it, or after it.",
        ("serving/test_app.py::test_many_ask_at_once_while_one_trains",),
    ),
    (
        "Training that goes on",
        "`resume_training`, `create_optimizer`, `debug data`, `debug model` and spaCy's "
        "other entry points take every shipped config.",
        (
            "whole/test_entry_points.py::test_a_pipeline_in_memory",
            "whole/test_entry_points.py::test_commands_that_look_at_a_config",
            "whole/test_entry_points.py::test_debug_data",
            "whole/test_entry_points.py::test_debug_model",
            "whole/test_entry_points.py::test_training_goes_on_from_a_trained_pipeline",
            "whole/test_entry_points.py::test_commands_that_take_a_trained_pipeline",
        ),
    ),
    (
        "Files of other tools",
        "They are read right, or refused with the file and the line: 2,000 damaged files "
        "of each of 25 kinds.",
        (
            "formats/test_damaged_files.py::test_rows_of_json",
            "formats/test_damaged_files.py::test_lines_of_columns",
            "formats/test_damaged_files.py::test_lines_of_pipes",
            "formats/test_damaged_files.py::test_texts_to_annotate",
            "formats/test_formats.py::test_rows_that_are_refused",
            "formats/test_formats.py::test_conll_that_is_refused",
        ),
    ),
    (
        "Annotation that was rejected, or is missing",
        "A rejected span, an ignored task and a tag `-` are neither an entity nor none.",
        (
            "formats/test_formats.py::test_a_rejected_span_is_no_entity_and_not_none_either",
            "formats/test_formats.py::test_tasks_that_do_not_count",
            "formats/test_formats.py::test_a_hyphen_is_no_annotation",
        ),
    ),
    (
        "Encodings",
        "UTF-8, with or without its mark; anything else is named, with the byte and the "
        "option, unless the option names it.",
        (
            "corpus/test_texts.py::test_an_undecodable_line_is_a_problem_of_its_own",
            "corpus/test_texts.py::test_utf16_is_refused_as_a_whole",
            "cli/test_convert.py::test_commands_read_other_encodings",
            "formats/test_formats.py::test_readers_of_configs_have_an_encoding",
            "formats/test_formats.py::test_half_characters_are_told",
        ),
    ),
    (
        "Output onto input",
        "No command writes over what it reads, nor under a name that it could not read.",
        (
            "formats/test_formats.py::test_where_is_written_to",
            "cli/test_convert.py::test_convert_says_what_it_cannot_write",
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
            "corpus/test_chunk.py::test_whatever_a_component_does_is_told_of_its_text",
            "corpus/test_chunk.py::test_what_cannot_be_saved_is_a_problem_of_its_own",
            "cli/test_render.py::test_render_shows_which_text_failed",
            "cli/test_commands.py::test_find_threshold_leaves_out_what_fails",
            "serving/test_session.py::test_time_and_errors_are_events",
        ),
    ),
    (
        "An entity that does not fall on tokens",
        "It costs its own tokens and its own label, and what it costs is told, in entities "
        "and in answer ids.",
        (
            "test_annotations.py::test_a_misaligned_entity_costs_the_tokens_that_it_touches",
            "tasks/test_cllmfs_records.py::test_an_entity_that_is_lost_costs_its_own_label_alone",
            "formats/test_formats.py::test_lost_entities_are_missing_and_keep_their_labels",
            "training/test_annotation.py::test_what_missing_annotation_costs_is_told",
        ),
    ),
    (
        "Settings that nothing hears",
        "Paths that nothing reads, words for labels that are not there, overrides at load, "
        "label keys that a config cannot hold and a span group that two components share "
        "are heard, or refused.",
        (
            "whole/test_development_data.py::test_development_data_is_read_or_refused",
            "whole/test_development_data.py::test_paths_that_nothing_reads_are_refused",
            "whole/test_label_words.py::test_words_for_labels_that_are_not_there",
            "whole/test_settings.py::test_what_is_given_to_load_wins",
            "whole/test_settings.py::test_any_label_survives_or_is_refused",
            "whole/test_shared_span_groups.py::test_two_components_of_one_span_group_are_refused",
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
