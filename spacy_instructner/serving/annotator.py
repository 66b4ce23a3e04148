"""A pipeline that answers many questions at once: texts, each with labels of its own.
Source: ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from spacy.language import Language
from spacy.tokens import Doc

from ..char_spans import ScoredCharSpan
from ..component import InstructionNERPipe
from ..corpus.chunk import pipeline_name
from ..corpus.entities import scored_entities_of
from ..corpus.piped import Failure, annotate_each
from ..corpus.pipelines import Pipeline
from ..corpus.texts import pieces
from ..models.thinc_model import get_inference_backbone
from ..tasks.labels import LABELS_KEY
from ..windows import counted

NONE_OF_ITS_OWN = (
    "The pipeline has no labels of its own. Give `labels` with each request, or serve a "
    "pipeline that has some."
)
# Labels and what each means, "" where nothing is said; None for those of the pipeline.
AskedLabels = tuple[tuple[str, str], ...] | None


@dataclass(frozen=True)
class TextQuestion:
    """A text and the labels to look for in it."""

    text: str
    labels: AskedLabels = None


@dataclass(frozen=True)
class RefusedLabels:
    """Why no text can be asked for these labels."""

    why: str


# Of a text: its entities, or why there is no answer.
TextAnswer = list[ScoredCharSpan] | Failure | RefusedLabels


@dataclass(frozen=True)
class BatchAnswer:
    """answers: one for each question, in order; unread: tokens that the model could not
    read; unfinished: answers that did not fit into it."""

    answers: list[TextAnswer]
    unread: int = 0
    unfinished: int = 0


class BatchAnnotator:
    """A pipeline with its weights. One thread at a time asks it."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Load a pipeline and its weights.

        Raises ValueError for a pipeline without an instruction_ner component, and OSError
        where there is no pipeline, or no weights."""
        self.nlp: Language = pipeline.load()
        self.name = pipeline_name(self.nlp)
        pipes = [pipe for _, pipe in self.nlp.pipeline]
        self.pipes = [pipe for pipe in pipes if isinstance(pipe, InstructionNERPipe)]
        if not self.pipes:
            raise ValueError(
                f"{pipeline.name} has no instruction_ner component. Its components are: "
                f"{', '.join(self.nlp.pipe_names) or 'none'}."
            )
        for pipe in self.pipes:
            get_inference_backbone(pipe.model)

    def labels(self) -> dict[str, str]:
        """The labels that are looked for where a question has none, and their definitions,
        "" where there is none."""
        found: dict[str, str] = {}
        for pipe in self.pipes:
            definitions: Mapping[str, str] = pipe.cfg["label_definitions"]
            found |= {label: definitions.get(label, "") for label in pipe.labels}
        return found

    def annotate(self, questions: Sequence[TextQuestion]) -> BatchAnswer:
        """Annotate texts together. A text that fails stops no other one, and labels that
        are refused cost the others nothing.

        questions (Sequence[TextQuestion]): texts without surrogates, any length.
        RETURNS (BatchAnswer): entities by characters of their text, with scores, in text
            order."""
        # The strings of the texts are forgotten afterwards.
        with self.nlp.memory_zone(), counted() as warned:
            refused = {
                labels: why
                for labels in {each.labels for each in questions}
                if (why := self._refuse(labels))
            }
            asked = [each for each in questions if each.labels not in refused]
            makers = [partial(self._docs, each) for each in asked]
            docs = iter(annotate_each(self.nlp, makers, max(1, len(makers))))
            answers: list[TextAnswer] = [
                refused[each.labels]
                if each.labels in refused
                else entities_or_failure(next(docs))
                for each in questions
            ]
        tokens = sum(each.count for each in warned if each.what == "tokens")
        return BatchAnswer(answers, tokens, sum(each.count for each in warned) - tokens)

    def check(self, labels: AskedLabels) -> None:
        """Raises ValueError for labels that have no words to ask for them, or the same, and
        where there are none. It costs no pass of the model, and any thread may call it."""
        for pipe in self.pipes:
            own = None if labels is None else dict(labels)
            if pipe.state.label_set(own, None) is None:
                raise ValueError(NONE_OF_ITS_OWN)

    def _refuse(self, labels: AskedLabels) -> RefusedLabels | None:
        """Why labels cannot be asked for: with them a whole batch would fail."""
        own = None if labels is None else dict(labels)
        try:
            self.check(labels)
            for pipe in self.pipes:
                # Whether they leave room for a text, too.
                pipe.requests([self.nlp.make_doc("a")], labels=own)
        except ValueError as error:
            return RefusedLabels(str(error))
        return None

    def _docs(self, question: TextQuestion) -> list[Doc]:
        docs = [
            self.nlp.make_doc(piece)
            for piece in pieces(question.text, self.nlp.max_length)
        ]
        if question.labels is not None:
            for doc in docs:
                doc.user_data[LABELS_KEY] = dict(question.labels)
        return docs


def entities_or_failure(answer: Doc | Failure) -> list[ScoredCharSpan] | Failure:
    """What was found in a text, or why nothing could be."""
    if isinstance(answer, Failure):
        return answer
    try:
        return scored_entities_of(answer)
    except Exception as error:
        # Whatever a component did to its Doc, other texts are answered.
        return Failure(f"{type(error).__name__}: {error}")
