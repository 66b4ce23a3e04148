"""One chunk of a corpus: what is kept, and what becomes of a text that fails."""

import warnings
from collections.abc import Callable
from typing import Any

import spacy
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, DocBin
from thinc.api import Model

from helpers.towns import make_pipeline, rows_of
from spacy_instructner.corpus.chunk import OutputOptions, annotate_chunk
from spacy_instructner.corpus.texts import Item, chunks, pack, pieces


def test_chunks() -> None:
    assert list(chunks(iter(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(chunks(iter([]), 3)) == []


# One chunk.


def test_a_chunk() -> None:
    nlp = make_pipeline()
    items = [
        Item("a", "In Rome and Paris."),
        Item("b", "BOOM in Rome"),
        Item("c", "", problem="line 3 is not a JSON object"),
        Item("d", "\ud800 Rome"),
        # Ids are the file's own, and may come twice.
        Item("b", ""),
    ]
    handler = nlp.default_error_handler
    done = annotate_chunk(nlp, items, OutputOptions(with_text=True, batch_size=2))
    assert nlp.default_error_handler is handler
    one, two, three, four, five = rows_of(done.content)
    town = {"label": "TOWN", "score": None}
    assert one == {
        "id": "a",
        "pipeline": "en_pipeline-0.0.0",
        "spans": [{"start": 3, "end": 7, **town}, {"start": 12, "end": 17, **town}],
        "text": "In Rome and Paris.",
    }
    assert two["error"] == "fussy: RuntimeError: no such text" and "spans" not in two
    assert three["error"].endswith("line 3 is not a JSON object")
    assert four["spans"] == [{"start": 2, "end": 6, **town}]
    assert four["text"] == "\ufffd Rome" and five["spans"] == []
    report = done.report
    assert (report.texts, report.replaced, report.cut) == (5, 1, 0)
    assert report.spans == {"TOWN": 3}
    assert [problem["id"] for problem in report.problems] == ["b", "c"]


def test_a_text_over_the_limit_is_read_in_pieces() -> None:
    nlp = make_pipeline()
    nlp.max_length = 50
    text = "We went to Rome and then on to Paris, slowly. " * 20
    done = annotate_chunk(nlp, [Item("a", text)], OutputOptions(with_text=True))
    (row,) = rows_of(done.content)
    assert row["text"] == text and done.report.cut == 1
    towns = [text[span["start"] : span["end"]] for span in row["spans"]]
    assert towns == ["Rome", "Paris"] * 20
    # Scores of all pieces are there, and in their places.
    nlp.add_pipe("scored")
    done = annotate_chunk(nlp, [Item("a", text)], OutputOptions())
    (row,) = rows_of(done.content)
    expected = [
        round(1 / (1 + ent.start), 4)
        for piece in pieces(text, 50)
        for ent in nlp(piece).ents
    ]
    assert [span["score"] for span in row["spans"]] == expected and len(expected) == 40
    # One that fails in one of its pieces fails whole.
    done = annotate_chunk(nlp, [Item("a", text + "BOOM")], OutputOptions())
    assert "error" in rows_of(done.content)[0] and not done.report.spans


def test_what_was_not_read_is_counted(make_nlp: Callable[..., Language]) -> None:
    nlp = make_nlp(max_window=20, window_overlap=5)
    words = "Anna met Bert in Paris. " * 5
    items = [
        Item("1", words),
        Item("2", words + "x" * 400),
        Item("3", "x" * 300 + " a"),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = annotate_chunk(nlp, items, OutputOptions())
    assert not done.report.problems and done.report.unfinished_answers == 0
    assert done.report.unread_tokens == 2
    # Other warnings are heard outside as ever.
    for action, count in (("default", 1), ("always", 9), ("ignore", 0)):
        nlp = spacy.blank("en")
        nlp.add_pipe("warns")
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter(action)  # type: ignore[arg-type]
            for _ in range(3):
                assert (
                    annotate_chunk(nlp, items, OutputOptions()).report.unread_tokens
                    == 0
                )
        assert [str(each.message) for each in heard] == ["have a care"] * count


def test_a_chunk_leaves_nothing_behind(make_nlp: Callable[..., Language]) -> None:
    """Memory stays as it is, however many words there are."""
    nlp = make_nlp()
    annotate_chunk(nlp, [Item("0", "Anna met Bert in Paris.")], OutputOptions())
    strings = len(nlp.vocab.strings)
    lexemes = len(list(nlp.vocab))
    for chunk in range(3):
        items = [Item(str(n), f"Anna{chunk}x{n} met Bert{n}y") for n in range(10)]
        done = annotate_chunk(nlp, items, OutputOptions(format="spacy"))
        docs = list(DocBin().from_bytes(done.content).get_docs(spacy.blank("en").vocab))
        assert [doc.text for doc in docs] == [item.text for item in items]
    assert (len(nlp.vocab.strings), len(list(nlp.vocab))) == (strings, lexemes)
    assert nlp("Anna met Bert in Paris.").text == "Anna met Bert in Paris."


def test_ids_that_come_twice() -> None:
    items = [Item("a", "BOOM"), Item("a", "Rome"), Item("a", "", problem="torn")]
    rows = rows_of(annotate_chunk(make_pipeline(), items, OutputOptions()).content)
    assert [row.get("error", "").split(" ")[-1] for row in rows] == ["text", "", "torn"]
    assert len(rows[1]["spans"]) == 1


def test_docs_keep_their_tokens() -> None:
    nlp = make_pipeline()
    doc = Doc(nlp.vocab, words=["in", "Rome"], spaces=[True, False])
    item = Item("7", doc.text, pack(doc).to_bytes())
    done = annotate_chunk(nlp, [item], OutputOptions(format="spacy"))
    (again,) = DocBin().from_bytes(done.content).get_docs(nlp.vocab)
    assert again.user_data["id"] == "7"
    assert [token.text for token in again] == ["in", "Rome"]
    assert [ent.text for ent in again.ents] == ["Rome"]


class Batched(TrainablePipe):
    """As spaCy's own components: a batch at a time, and given up as one."""

    def __init__(self) -> None:
        self.name, self.model, self.vocab = (
            "batched",
            Model("none", lambda m, x, t: x),
            None,
        )
        self.cfg: dict[str, Any] = {}

    def predict(self, docs: list[Doc]) -> None:
        if any("THUD" in doc.text for doc in docs):
            raise RuntimeError("no such batch")

    def set_annotations(self, docs: list[Doc], scores: None) -> None:
        for doc in docs:
            doc.user_data["batched"] = True


def test_one_text_does_not_fail_its_batch() -> None:
    nlp = make_pipeline()
    pipe = Batched()
    nlp.add_pipe("keeps_thing")
    nlp._components[-1] = ("batched", pipe)
    handler: Any = lambda *given: None  # noqa: E731
    pipe.set_error_handler(handler)
    items = [Item(str(n), "THUD" if n == 4 else "Rome") for n in range(10)]
    done = annotate_chunk(nlp, items, OutputOptions(batch_size=5))
    (problem,) = done.report.problems
    assert problem["id"] == "4" and "batched: RuntimeError" in problem["problem"]
    assert done.report.spans == {"TOWN": 9}
    # A component's own handler is its own again.
    assert pipe.get_error_handler() is handler


@Language.component("another_doc")
def another_doc(doc: Doc) -> Doc:
    return doc[:1].as_doc() if "OTHER" in doc.text else doc


class Harsh:
    """A component that asks no handler, and gives its stream up."""

    def __call__(self, doc: Doc) -> Doc:
        return doc

    def pipe(self, docs: Any, batch_size: int) -> Any:
        for doc in docs:
            if "THUD" in doc.text:
                raise RuntimeError("no such stream")
            yield doc


def test_whatever_a_component_does_is_told_of_its_text() -> None:
    nlp = make_pipeline()
    nlp.add_pipe("another_doc")
    nlp.add_pipe("keeps_thing")
    nlp._components[-1] = ("harsh", Harsh())  # type: ignore[arg-type]
    texts = ["Rome", "THUD", "BOOM", "OTHER Rome", "Paris", "", "Åre"]
    items = [Item(str(n), text) for n, text in enumerate(texts)]
    for size in (1, 3, 100):
        done = annotate_chunk(nlp, items, OutputOptions(batch_size=size))
        problems = {row["id"]: row["problem"] for row in done.report.problems}
        assert list(problems) == ["1", "2", "3"], size
        assert "RuntimeError: no such stream" in problems["1"]
        assert "fussy: RuntimeError: no such text" in problems["2"]
        assert "returns another Doc" in problems["3"]
        assert done.report.spans == {"TOWN": 3}


def test_what_cannot_be_saved_is_a_problem_of_its_own() -> None:
    nlp = make_pipeline()
    nlp.add_pipe("keeps_thing")
    items = [Item("1", "A THING in Rome"), Item("2", "Rome")]
    done = annotate_chunk(nlp, items, OutputOptions(format="spacy"))
    (kept,) = DocBin().from_bytes(done.content).get_docs(nlp.vocab)
    assert (kept.text, kept.user_data["id"]) == ("Rome", "2")
    (problem,) = done.report.problems
    assert problem["id"] == "1" and "cannot be saved" in problem["problem"]
    assert done.report.spans == {"TOWN": 1}
    assert not annotate_chunk(nlp, items, OutputOptions()).report.problems
