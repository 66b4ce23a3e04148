"""Golden tests: the prompts and targets of InstructionNER, letter by letter."""

import random
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from conftest import byte_level_tokenizer, unigram_tokenizer

from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.base import (
    Demonstration,
    Gold,
    PromptOrder,
    TrainingRecord,
)
from spacy_instructner.tasks.instruction_ner import (
    BoundInstructionNER,
    InstructionNER,
    build_instruction_ner_v1,
)
from spacy_instructner.tasks.labels import (
    default_name,
    make_label_set,
    with_own_words,
)

LABELS = make_label_set(
    ["TITLE", "genre", "Actor", "RATINGS-AVERAGE"],
    {},
    {"TITLE": "the name of a film"},
)
TEXT = "are there any slow burn movies with ada quill".split()
GOLD = Gold(((3, 5, "genre"), (7, 9, "Actor")))
INSTRUCTION = (
    "Instruction: please extract entities and their types from the input sentence, "
    "all entity types are in options\n"
)
OPTIONS = "Options: title, genre, actor, ratings average"


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(byte_level_tokenizer())


def records(
    encoder: TextEncoder,
    task: InstructionNER,
    gold: Gold = GOLD,
    layout: str = "text_last",
    text: Sequence[str] = TEXT,
) -> dict[str, TrainingRecord]:
    end = encoder.tokenizer.eos_token_id
    bound = task.bind(encoder, LABELS, end, layout=layout)  # type: ignore[arg-type]
    words = encoder.words(text, [bool(i) for i in range(len(text))], 50)
    made = bound.records(words, gold)
    assert len({record.task for record in made}) == len(made)
    return {record.task: record for record in made}


def prompt(encoder: TextEncoder, record: TrainingRecord) -> str:
    return encoder.tokenizer.decode(record.prefix + record.suffix)


def answer(encoder: TextEncoder, record: TrainingRecord) -> str:
    return encoder.tokenizer.decode(record.answer)


def test_text_last(encoder: TextEncoder) -> None:
    made = records(encoder, build_instruction_ner_v1())
    sentence = "\nSentence: are there any slow burn movies with ada quill\n"
    assert {task: prompt(encoder, record) for task, record in made.items()} == {
        "main": INSTRUCTION + OPTIONS + sentence + "Answer:",
        "extraction": (
            "Instruction: please extract entity words from the input sentence"
            + sentence
            + "Answer:"
        ),
        "typing": (
            "Instruction: please typing these entity words according to sentence\n"
            + OPTIONS
            + sentence
            + "Entity words: slow burn, ada quill\nAnswer:"
        ),
    }


def test_text_first_is_the_papers(encoder: TextEncoder) -> None:
    made = records(encoder, build_instruction_ner_v1(), layout="text_first")
    sentence = "Sentence: are there any slow burn movies with ada quill\n"
    assert {task: prompt(encoder, record) for task, record in made.items()} == {
        "main": sentence + INSTRUCTION + OPTIONS,
        "extraction": (
            sentence
            + "Instruction: please extract entity words from the input sentence"
        ),
        "typing": (
            sentence
            + "Instruction: please typing these entity words according to sentence: "
            "slow burn, ada quill\n" + OPTIONS
        ),
    }


def test_answers(encoder: TextEncoder) -> None:
    made = records(encoder, build_instruction_ner_v1())
    typed = " slow burn is a genre, ada quill is an actor.<|end|>"
    assert {task: answer(encoder, record) for task, record in made.items()} == {
        "main": typed,
        "extraction": " slow burn, ada quill.<|end|>",
        "typing": typed,
    }


def test_answers_without_entities(encoder: TextEncoder) -> None:
    made = records(encoder, build_instruction_ner_v1(), Gold(()))
    assert {task: answer(encoder, record) for task, record in made.items()} == {
        "main": " none.<|end|>",
        "extraction": " none.<|end|>",
    }


def test_what_does_not_change_stands_in_the_prefix(encoder: TextEncoder) -> None:
    made = records(encoder, build_instruction_ner_v1())
    prefix = encoder.tokenizer.decode(made["main"].prefix)
    assert prefix == INSTRUCTION + OPTIONS + "\nSentence:"
    assert len(made["main"].prefix) > len(made["main"].suffix)


def test_everything_can_be_replaced(encoder: TextEncoder) -> None:
    task = build_instruction_ner_v1(
        main_template="<|turn|>Texte : {sentence}\nTypes : {options}<|turn|>",
        extraction_weight=0.0,
        typing_weight=0.0,
        clause="« {entity} » est {article} {type}",
        article="un(e)",
        article_before_vowel="un(e)",
        separator=" ; ",
        terminator=" !",
        no_entity="rien !",
    )
    made = records(encoder, task)
    assert list(made) == ["main"]
    assert prompt(encoder, made["main"]) == (
        "<|turn|>Texte : are there any slow burn movies with ada quill\n"
        "Types : title, genre, actor, ratings average<|turn|>"
    )
    assert answer(encoder, made["main"]) == (
        "« slow burn » est un(e) genre ; « ada quill » est un(e) actor !<|end|>"
    )
    empty = records(encoder, task, Gold(()))["main"]
    assert answer(encoder, empty) == " rien !<|end|>"


def test_the_text_may_stand_twice(encoder: TextEncoder) -> None:
    task = build_instruction_ner_v1(main_template="{sentence}\n{sentence} {options}:")
    text = " ".join(TEXT)
    made = records(encoder, task)["main"]
    assert prompt(encoder, made) == (
        f" {text}\n {text} title, genre, actor, ratings average:"
    )
    assert made.prefix == ()


@pytest.mark.parametrize(
    "name,article",
    [("actor", "an"), ("genre", "a"), ("Award", "an"), ("8-bit game", "a"), ("", "a")],
)
def test_article(name: str, article: str) -> None:
    assert build_instruction_ner_v1().say(name) == ("", f" is {article} {name}")


def test_weights_of_tasks(encoder: TextEncoder) -> None:
    task = build_instruction_ner_v1(extraction_weight=0.5, typing_weight=0.25)
    made = records(encoder, task)
    weights = {name: set(record.weights) for name, record in made.items()}
    assert weights == {"main": {1.0}, "extraction": {0.5}, "typing": {0.25}}
    assert all(len(r.weights) == len(r.answer) for r in made.values())


def test_missing_annotation_teaches_no_absence(encoder: TextEncoder) -> None:
    """Which span is next, where one may be hidden, is not learnt; all else is."""
    gold = Gold(GOLD.entities, frozenset({0}))
    made = records(encoder, build_instruction_ner_v1(), gold)
    counted: dict[str, list[str]] = {}
    for name, record in made.items():
        ids = [t for t, weight in zip(record.answer, record.weights) if weight]
        counted[name] = [encoder.tokenizer.decode(ids)]
    whole = answer(encoder, made["main"])
    assert counted["typing"] == [whole]
    first = encoder.tokenizer.decode(encoder.text(" slow")[:1])
    second = encoder.tokenizer.decode(encoder.text(" ada")[:1])
    assert counted["main"] == [whole.removeprefix(first)]
    # Of all labels at once: what is lost to one is lost to the answer.
    for behind in (
        Gold(GOLD.entities, frozenset({9})),
        Gold(GOLD.entities, lost=((9, 10, "title"),)),
    ):
        text = [*TEXT, "again"]
        record = records(encoder, build_instruction_ner_v1(), behind, text=text)["main"]
        ids = [t for t, weight in zip(record.answer, record.weights) if weight]
        said = whole.removesuffix(".<|end|>")
        assert encoder.tokenizer.decode(ids) == said
    between = Gold(GOLD.entities, frozenset({5}))
    record = records(encoder, build_instruction_ner_v1(), between)["main"]
    ids = [t for t, weight in zip(record.answer, record.weights) if weight]
    start, end = whole.split(" ada")
    silent = " ada".removeprefix(second)
    assert encoder.tokenizer.decode(ids) == start + silent + end
    nothing = records(encoder, build_instruction_ner_v1(), Gold((), frozenset({0})))
    assert nothing == {}


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"main_template": "no text: {options}"}, "main_template.*{sentence}"),
        ({"main_template": "{sentence} {labels}"}, "{labels} that means nothing"),
        ({"main_template": "{sentence} {options!r}"}, "means nothing"),
        ({"main_template": "{sentence"}, "no template"),
        ({"typing_template": "{sentence}"}, "typing_template.*{entities}"),
        ({"clause": "{type}: {entity}"}, "before its"),
        ({"clause": "{entity} is {article}"}, "clause.*{type}"),
        ({"main_weight": 0.0}, "main_weight"),
        ({"typing_weight": -1.0}, "typing_weight"),
        ({"definition": "{type}"}, "`definition`.*{definition}, once"),
        ({"definition": "{definition} {options}"}, "means nothing"),
        ({"extraction_template": "{sentence} {definitions}"}, "means nothing"),
        ({"terminator": ""}, "terminator"),
        ({"no_entity": " "}, "no_entity"),
    ],
)
def test_bad_settings_are_refused_when_read(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_instruction_ner_v1(**settings)


@pytest.mark.parametrize(
    "label,name",
    [
        ("CREATIVE_WORK", "creative work"),
        ("building-hotel", "building hotel"),
        ("ORG", "org"),
        ('say "hi",\nthen', 'say "hi", then'),
    ],
)
def test_default_name(label: str, name: str) -> None:
    assert default_name(label) == name


@pytest.mark.parametrize(
    "labels,names,message",
    [
        (["A", "A"], {}, "twice"),
        (["A", ""], {}, "at least one letter"),
        (["A", " \n"], {}, "at least one letter"),
        (["_-_"], {}, "no words"),
        (["BOOK_TITLE", "book-title"], {}, "both called 'book title'"),
        (["A", "B"], {"A": "thing", "B": "Thing"}, "both called"),
    ],
)
def test_bad_labels_are_refused(labels: list, names: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_label_set(labels, names, {})


def test_words_that_labels_bring_come_first() -> None:
    names, said = {"A": "alpha", "B": "beta"}, {"A": "first", "B": "second"}
    labels = {
        "B": {"name": "Bravo"},
        "A": "of all",
        "C": {"name": "Charlie", "definition": "third"},
        "D_E": "",
    }
    found = with_own_words(labels, names, said)
    assert found.labels == ("B", "A", "C", "D_E")
    assert found.names == ("Bravo", "alpha", "Charlie", "d e")
    assert found.definitions == ("second", "of all", "third", "")
    assert with_own_words(["A"], names, said) == make_label_set(["A"], names, said)


@pytest.mark.parametrize("said", [{"words": "x"}, 3, None, {"name": 3}])
def test_other_words_are_refused(said: Any) -> None:
    with pytest.raises(
        ValueError, match="The label 'A' can bring its meaning as a text"
    ):
        with_own_words({"A": said}, {}, {})


@pytest.mark.parametrize(
    "names", [{"A": "rock, pop"}, {"A": 'the "A" list'}, {"A": "two\nlines"}]
)
def test_awkward_label_names_are_handled(encoder: TextEncoder, names: dict) -> None:
    from spacy_instructner.decoding.grammar import Grammar, read_answer

    labels = make_label_set(["A", "B"], {**names, "B": "rock"}, {})
    end = encoder.tokenizer.eos_token_id
    task = build_instruction_ner_v1().bind(encoder, labels, end)
    words = encoder.words(TEXT, [bool(i) for i in range(len(TEXT))], 50)
    gold = Gold(((0, 1, "A"), (2, 4, "B"), (5, 6, "A")))
    record = task.records(words, gold)[0]
    grammar = Grammar(words, task.format)
    assert read_answer(grammar, record.answer) == [(0, 1, 0), (2, 4, 1), (5, 6, 0)]
    assert "\n" not in encoder.tokenizer.decode(record.answer)


SHOWN = (
    Demonstration(("ada", "quill", "!"), (False, True, False), ((0, 2, "Actor"),)),
    Demonstration(("hm",), (False,), ((0, 1, "OTHER"),)),
)


@pytest.mark.parametrize("layout", ["text_last", "text_first"])
def test_examples_stand_in_front_of_the_main_prompt(
    encoder: TextEncoder, layout: PromptOrder
) -> None:
    end = encoder.tokenizer.eos_token_id
    task = build_instruction_ner_v1()
    plain = task.bind(encoder, LABELS, end, layout=layout)
    bound = task.bind(encoder, LABELS, end, layout=layout, demonstrations=SHOWN)

    def prompt_of(task: BoundInstructionNER, text: str) -> str:
        parts = text.split()
        words = encoder.words(parts, [bool(i) for i in range(len(parts))], 50)
        (request,) = task.requests(words)
        return encoder.tokenizer.decode(request.prefix + request.suffix)

    # Each is a whole prompt with its answer; labels that are not asked are left out.
    demonstrations = (
        prompt_of(plain, "ada quill !").replace(" !", "!")
        + " ada quill is an actor.\n\n"
        + prompt_of(plain, "hm")
        + " none.\n\n"
    )
    assert prompt_of(bound, "any films") == demonstrations + prompt_of(
        plain, "any films"
    )
    if layout == "text_last":
        # All of it is read once for all texts.
        (request,) = bound.requests(encoder.words(["any"], [False], 50))
        prefix = encoder.tokenizer.decode(request.prefix)
        assert prefix.startswith(demonstrations) and prefix.endswith("Sentence:")


@pytest.mark.parametrize("layout", ["text_last", "text_first"])
@pytest.mark.parametrize(
    "text,demonstrations",
    [
        # Spacing does not tell them apart.
        ("ada quill !", ["hm"]),
        ("hm", ["ada quill!"]),
        # A window of it.
        ("quill !", ["hm"]),
        # Not a run of its words, and more than its words.
        ("ada !", ["ada quill!", "hm"]),
        ("hm ada quill !", ["ada quill!", "hm"]),
    ],
)
def test_a_text_to_learn_from_is_not_shown_with_its_answer(
    encoder: TextEncoder, layout: PromptOrder, text: str, demonstrations: list[str]
) -> None:
    """When asked, all examples are shown."""
    end = encoder.tokenizer.eos_token_id
    task = build_instruction_ner_v1(typing_weight=0.0, extraction_weight=0.0)
    bound = task.bind(encoder, LABELS, end, layout=layout, demonstrations=SHOWN)

    def texts(prompt: str) -> list[str]:
        lines = [line for line in prompt.split("\n") if line.startswith("Sentence: ")]
        return [line.removeprefix("Sentence: ") for line in lines]

    parts = text.split()
    words = encoder.words(parts, [bool(i) for i in range(len(parts))], 50)
    (record,) = bound.records(words, Gold(((len(words) - 1, len(words), "Actor"),)))
    assert texts(prompt(encoder, record)) == [*demonstrations, text]
    (request,) = bound.requests(words)
    asked = encoder.tokenizer.decode(request.prefix + request.suffix)
    assert texts(asked) == ["ada quill!", "hm", text]
    # What stands where is counted with the examples that are left.
    ids = record.prefix + record.suffix + record.answer
    assert ids[record.text[0] : record.text[1]] == words.text
    (mention,) = record.mentions
    assert ids[mention.begin : mention.end] == words.text[words.places[-2] :]
    assert mention.type is not None
    assert ids[mention.type :][:1] == encoder.text(" actor")[:1]


# Options in another order.


def options_of(text: str) -> list[str]:
    (line,) = (line for line in text.split("\n") if line.startswith("Options: "))
    return line.removeprefix("Options: ").split(", ")


@pytest.mark.parametrize("layout", ["text_last", "text_first"])
def test_options_are_shuffled_for_learning(
    encoder: TextEncoder, layout: PromptOrder
) -> None:
    task = build_instruction_ner_v1(shuffle_options=True)
    end = encoder.tokenizer.eos_token_id
    bound = task.bind(encoder, LABELS, end, layout=layout)
    words = encoder.words(TEXT, [bool(i) for i in range(len(TEXT))], 50)
    orders = []
    random.seed(3)
    for _ in range(200):
        made = {record.task: record for record in bound.records(words, GOLD)}
        order = options_of(prompt(encoder, made["main"]))
        assert options_of(prompt(encoder, made["typing"])) == order
        assert "Options" not in prompt(encoder, made["extraction"])
        # Each entity's type is where its name now stands.
        ids = made["main"].prefix + made["main"].suffix
        names = [" genre", " actor"]
        for mention, name in zip(made["main"].mentions, names):
            assert mention.type is not None
            written = encoder.text(name)
            assert ids[mention.type : mention.type + len(written)] == written
        orders.append(tuple(order))
        assert answer(encoder, made["main"]).startswith(" slow burn is a genre")
    assert {frozenset(order) for order in orders} == {
        frozenset({"title", "genre", "actor", "ratings average"})
    }
    # All of the 24 orders come.
    assert len(set(orders)) == 24
    # Asked is in the labels' own order.
    (request,) = bound.requests(words)
    asked = encoder.tokenizer.decode(request.prefix + request.suffix)
    assert options_of(asked) == ["title", "genre", "actor", "ratings average"]
    random.seed(3)
    again = [
        tuple(options_of(prompt(encoder, bound.records(words, GOLD)[0])))
        for _ in range(200)
    ]
    assert again == orders


def test_by_default_nothing_is_drawn(encoder: TextEncoder) -> None:
    random.seed(3)
    before = random.getstate()
    made = records(encoder, build_instruction_ner_v1())
    assert random.getstate() == before
    names = ["title", "genre", "actor", "ratings average"]
    assert options_of(prompt(encoder, made["main"])) == names


# Definitions.

DEFINED = make_label_set(
    ["TITLE", "genre", "Actor"],
    {},
    {"TITLE": "the name of a film", "genre": "a {kind} of film", "Actor": "a player"},
)
MEANT = "title: the name of a film; genre: a {kind} of film; actor: a player"


def defined(
    encoder: TextEncoder, layout: PromptOrder = "text_last", **settings: object
) -> BoundInstructionNER:
    templates = {
        "main_template": "Find {options}\nMeant: {definitions}\nIn: {sentence}\nSay:",
        "typing_template": "{definitions}\nType {entities} in {sentence}:",
    }
    task = build_instruction_ner_v1(**{**templates, **settings})  # type: ignore[arg-type]
    return task.bind(encoder, DEFINED, encoder.tokenizer.eos_token_id, layout=layout)


def prompts_of(encoder: TextEncoder, bound: BoundInstructionNER) -> dict[str, str]:
    words = encoder.words(TEXT, [bool(i) for i in range(len(TEXT))], 50)
    return {r.task: prompt(encoder, r) for r in bound.records(words, GOLD)}


def test_prompts_say_what_labels_mean(encoder: TextEncoder) -> None:
    bound = defined(encoder)
    text = " ".join(TEXT)
    made = prompts_of(encoder, bound)
    assert made["main"] == (
        f"Find title, genre, actor\nMeant: {MEANT}\nIn: {text}\nSay:"
    )
    # At the beginning of a line, too, a placeholder brings its space.
    assert made["typing"] == f" {MEANT}\nType slow burn, ada quill in {text}:"
    # The same for every text, so read once.
    words = encoder.words(["any"], [False], 50)
    (request,) = bound.requests(words)
    assert encoder.tokenizer.decode(request.prefix) == (
        f"Find title, genre, actor\nMeant: {MEANT}\nIn:"
    )
    assert bound.constant() == len(request.prefix + request.suffix) - len(words.text)


@pytest.mark.parametrize(
    "settings,expected",
    [
        (
            {"definition_separator": "\n"},
            "title: the name of a film\ngenre: a {kind} of film\nactor: a player",
        ),
        (
            {"definition_separator": "\n- ", "definition": "{definition} ({type})"},
            "the name of a film (title)\n- a {kind} of film (genre)\n- a player (actor)",
        ),
        (
            {"definition_separator": "|", "definition": "{{{definition}}}"},
            "{the name of a film}|{a {kind} of film}|{a player}",
        ),
    ],
)
def test_how_definitions_are_said(
    encoder: TextEncoder, settings: dict, expected: str
) -> None:
    made = prompts_of(encoder, defined(encoder, **settings))
    assert f"Meant: {expected}\nIn:" in made["main"]


def test_labels_without_a_definition_are_left_out_and_named(
    encoder: TextEncoder,
) -> None:
    end = encoder.tokenizer.eos_token_id
    task = build_instruction_ner_v1(
        main_template="{definitions}\n{sentence}\n{options}"
    )
    with pytest.warns(UserWarning) as caught:
        bound = task.bind(encoder, LABELS, end)
    named = [str(warning.message).split("'")[1] for warning in caught]
    assert named == ["genre", "Actor", "RATINGS-AVERAGE"]
    text = " ".join(TEXT)
    assert prompts_of(encoder, bound)["main"] == (
        f" title: the name of a film\n {text}\n title, genre, actor, ratings average"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_instruction_ner_v1().bind(encoder, LABELS, end)
        defined(encoder)


def test_definitions_are_shuffled_with_the_options(encoder: TextEncoder) -> None:
    bound = defined(encoder, shuffle_options=True)
    random.seed(0)
    orders = set()
    for _ in range(60):
        lines = prompts_of(encoder, bound)["main"].split("\n")
        options = lines[0].removeprefix("Find ").split(", ")
        meant = lines[1].removeprefix("Meant: ").split("; ")
        assert [said.split(":")[0] for said in meant] == options
        assert sorted(meant) == sorted(MEANT.split("; "))
        orders.add(tuple(options))
    assert len(orders) == 6


def test_what_no_prompt_says_need_not_be_written() -> None:
    """The tests' Unigram tokenizer has no semicolon."""
    encoder = TextEncoder(unigram_tokenizer())
    end = encoder.tokenizer.eos_token_id
    build_instruction_ner_v1().bind(encoder, DEFINED, end)
    task = build_instruction_ner_v1(main_template="{definitions}{sentence}")
    with pytest.raises(ValueError, match="cannot write ';'"):
        task.bind(encoder, DEFINED, end)


def test_a_definition_writes_no_control_token(encoder: TextEncoder) -> None:
    labels = make_label_set(["A"], {}, {"A": "<|turn|> and {sentence}"})
    task = build_instruction_ner_v1(main_template="<|turn|>{definitions}{sentence}")
    bound = task.bind(encoder, labels, encoder.tokenizer.eos_token_id)
    (request,) = bound.requests(encoder.words(["any"], [False], 50))
    turn = encoder.tokenizer.convert_tokens_to_ids("<|turn|>")
    asked = request.prefix + request.suffix
    assert asked.count(turn) == 1
    assert encoder.tokenizer.decode(asked) == (
        "<|turn|> a: <|turn|> and {sentence} any"
    )
