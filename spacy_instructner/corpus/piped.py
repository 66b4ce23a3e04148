"""Texts through a pipeline in batches, and one by one where a batch fails. A text that
fails is reported and stops no other text. Source: ours."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from ..span_groups import join_scores

# Makes the Docs of a text, new ones each time: several where the text is cut into
# pieces.
MakeDocs = Callable[[], Sequence[Doc]]


@dataclass(frozen=True)
class Failure:
    """A text that could not be annotated. why: the reason; texts: how many texts failed
    together for this reason."""

    why: str
    texts: int = 1


def annotate_each(
    nlp: Language, texts: Sequence[MakeDocs], batch_size: int
) -> list[Doc | Failure]:
    """Annotate texts.

    nlp (Language): the pipeline.
    texts (Sequence[MakeDocs]): make the Docs of each text.
    batch_size (int): texts at a time. Where a batch fails, its texts are tried one by
        one.
    RETURNS (list[Doc | Failure]): a Doc, or why there is none, for each text, in the
        order of the texts."""
    numbered = list(enumerate(texts))
    answers = _piped(nlp, numbered, batch_size)
    for at, make in numbered:
        answer = answers[at]
        if isinstance(answer, Failure) and answer.texts > 1:
            # A component failed at one text, and gave all of its batch up.
            answers |= _piped(nlp, [(at, make)], 1)
    return [answers[at] for at, _ in numbered]


def _piped(
    nlp: Language, texts: Sequence[tuple[int, MakeDocs]], batch_size: int
) -> dict[int, Doc | Failure]:
    """The answers, by the numbers that the texts are given with."""
    answers: dict[int, Doc | Failure] = {}
    found: dict[int, list[Doc]] = {}
    wanted: dict[int, int] = {}
    given: list[tuple[Doc, int]] = []
    for at, make in texts:
        try:
            docs = make()
        except Exception as error:
            answers[at] = Failure(_message(error))
        else:
            found[at], wanted[at] = [], len(docs)
            given += [(doc, at) for doc in docs]

    def failed(name: str, proc: Any, docs: list[Doc], error: Exception) -> None:
        numbers = {doc._context for doc in docs}
        why = f"{name}: {_message(error)}"
        answers.update(dict.fromkeys(numbers, Failure(why, len(numbers))))

    # A text that is missing at the end failed by itself, unless the whole pass failed.
    why, together = "a component dropped the text", False
    try:
        with error_handler(nlp, failed):
            for doc, at in nlp.pipe(given, as_tuples=True, batch_size=batch_size):
                if at is None:
                    why = (
                        "a component returns another Doc than it gets, so its text is "
                        "unknown; a component must annotate the Doc that it gets"
                    )
                else:
                    found[at].append(doc)
    except Exception as error:
        # Raised by a component that asks no error handler.
        why, together = _message(error), True
    left = [at for at in wanted if at not in answers]
    missing = {at for at in left if len(found[at]) != wanted[at]}
    for at in left:
        if at in missing:
            answers[at] = Failure(why, len(missing) if together else 1)
            continue
        try:
            answers[at] = found[at][0] if wanted[at] == 1 else _joined(found[at])
        except Exception as error:
            answers[at] = Failure(f"its pieces cannot be joined: {_message(error)}")
    return answers


def _joined(docs: Sequence[Doc]) -> Doc:
    """One Doc of the pieces of a text. The user data of pieces are left out."""
    given = {"ensure_whitespace": False, "exclude": ["user_data"]}
    whole = Doc.from_docs(list(docs), **given)  # type: ignore[arg-type]
    assert whole is not None
    join_scores(whole, docs)
    return whole


def _message(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@contextmanager
def error_handler(nlp: Language, handler: Callable[..., None]) -> Iterator[None]:
    """Within this context, the pipeline and all of its components have one handler."""
    default = nlp.default_error_handler
    pipes: list[Any] = [pipe for _, pipe in nlp.pipeline]
    own = [(p, p.get_error_handler()) for p in pipes if hasattr(p, "get_error_handler")]
    nlp.set_error_handler(handler)  # type: ignore[arg-type]
    try:
        yield
    finally:
        nlp.set_error_handler(default)
        for pipe, before in own:
            pipe.set_error_handler(before)
