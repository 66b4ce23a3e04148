"""The pipeline component: Docs become windows, requests, answers and spans; Examples become
records and losses. `factory.py` explains its settings."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spacy import util
from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer

from . import saving
from .annotations import annotate, check_writer, register_score
from .binding import MOST_BOUND, BoundTasks, bind_task, bind_windows
from .calibration import Calibration
from .config_checks import check_paths
from .data.gold import survey
from .locks import Cache
from .models.backbone import Backbone
from .models.thinc_model import (
    add_trained,
    begin_afresh,
    get_backbone,
    get_inference_backbone,
)
from .predictions import Prediction, answer_windows, make_predictions, predict_each
from .settings import Settings
from .state import NO_LABELS, FurtherChoice, InterpolationChoice, State
from .tasks.base import BoundTask, Request, TrainingRecord
from .tasks.labels import Labels, LabelSet
from .training.records import (
    AnswerIds,
    GoldWindow,
    Learnable,
    count_ids,
    count_learnable,
    make_gold_windows,
    make_records,
    warn_of_labels,
    warn_of_lost,
)
from .training.update import add_gradients
from .windows import BoundWindow, Window


class InstructionNERPipe(TrainablePipe):
    """Named entities by a language model that is asked for them."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "instruction_ner",
        *,
        settings: Settings,
    ) -> None:
        """settings (Settings): see `factory.make_instruction_ner`.

        Raises ValueError for settings that contradict each other or the model."""
        settings.check(model.attrs["config"])
        self.vocab = vocab
        self.model = model
        self.name = name
        self.task = settings.task
        self.loss = settings.loss
        self.decoder = settings.decoder
        self.windows = settings.windows
        self.max_window = settings.max_window
        self.window_overlap = settings.window_overlap
        self.spans_key = settings.spans_key
        self.overwrite = settings.overwrite
        self.bundle = settings.bundle
        self.save_io = settings.save_io
        self.claims = settings.claims()
        self.scorer = settings.scorer
        self.model.attrs["device"] = settings.device
        self.model.attrs["objectives"] = settings.objectives
        self.model.attrs["head"] = settings.head
        self.model.attrs["writes"] = settings.writes
        self.model.attrs["predict"] = self.predict
        self.state = State.of(settings.kept())
        self._bound: BoundTasks = Cache(MOST_BOUND)
        self.set_labels(
            settings.labels, settings.label_names, settings.label_definitions
        )
        self.state.as_configured = True
        register_score(settings.score_extension, settings.spans_key)

    @property
    def cfg(self) -> dict[str, Any]:
        """What is saved beside the config, as it may change: see `State`."""
        return self.state.cfg

    @cfg.setter
    def cfg(self, cfg: dict[str, Any]) -> None:  # As `spacy find-threshold` does.
        self.state.cfg = cfg

    # Labels and scores.

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.cfg["labels"])

    @property
    def label_words(self) -> dict[str, dict[str, str]]:
        """What each label is asked by now: {label: {"name", "definition"}}."""
        return self.state.label_words()

    @property
    def label_data(self) -> list[str]:
        """What `spacy init labels` writes."""
        return list(self.labels)

    def add_label(self, label: str) -> int:
        """Look for one more label. RETURNS (int): 0 if it was there, else 1."""
        if new := label not in self.labels:
            self.set_labels([*self.labels, label])
        return int(new)

    def set_labels(
        self,
        labels: Sequence[str],
        names: dict[str, str] | None = None,
        definitions: dict[str, str] | None = None,
    ) -> None:
        """Look for these labels from now on; saved with the pipeline.

        labels (Sequence[str]): the labels, in the order they are asked.
        names, definitions (Optional[Dict]): by label; the others stay as they were.
        Raises ValueError for an empty label, one given twice, and two labels with the
        same words. Words for labels that are not there are warned of.
        """
        self.state.set_labels(labels, names, definitions)

    @property
    def calibration(self) -> Calibration:
        """What is done to scores; set by `set_calibration`, saved with the pipeline."""
        return self.state.calibration

    def set_calibration(self, calibration: Calibration) -> None:
        """Change what scores say. The threshold follows: it lets through what it let
        through before."""
        self.state.set_calibration(calibration)

    # Annotating.

    def __call__(self, doc: Doc, *, labels: Labels | None = None) -> Doc:
        """Annotate one Doc. labels (Optional[Labels]): for this call, see `pipe`."""
        error_handler = self.get_error_handler()
        try:
            self.set_annotations([doc], self.predict([doc], labels=labels))
        except Exception as error:
            error_handler(self.name, self, [doc], error)
        return doc

    def pipe(
        self,
        stream: Iterable[Doc],
        *,
        batch_size: int = 128,
        labels: Labels | None = None,
    ) -> Iterator[Doc]:
        """Annotate a stream of Docs, in order.

        A batch that fails is tried again Doc by Doc, so that the error handler
        gets only those that fail by themselves.
        labels (Optional[Labels]): for this call, in place of the set ones and of those
            that a Doc brings in `Doc.user_data["instruction_ner_labels"]`: a list, or a
            mapping from label to what it means, or to its "name" and "definition".
        """
        error_handler = self.get_error_handler()
        for batch in util.minibatch(stream, size=batch_size):
            docs = list(batch)
            predicted = predict_each(partial(self.predict, labels=labels), docs)
            for doc, prediction in zip(docs, predicted):
                try:
                    if isinstance(prediction, Exception):
                        raise prediction
                    self.set_annotations([doc], [prediction])
                except Exception as error:
                    error_handler(self.name, self, [doc], error)
                else:
                    yield doc

    def predict(
        self, docs: Iterable[Doc], *, labels: Labels | None = None
    ) -> list[Prediction]:
        """What is found in each Doc, without writing it.

        Raises ValueError without labels, OSError without weights."""
        docs = list(docs)
        for doc in docs:
            self._label_set(labels, doc)
        if not any(len(doc) for doc in docs):
            return [Prediction(()) for _ in docs]
        # Weights that stay as they are, whatever other threads do.
        backbone = get_inference_backbone(self.model)
        windows = self._bound_windows(backbone, docs, labels)
        decide = self.claims.decide if self.claims else None
        answered = answer_windows(backbone, windows, self.decoder, decide)
        decode = backbone.encoder.decode if self.save_io else None
        return make_predictions(len(docs), answered, self.calibration, decode)

    def requests(
        self, docs: Iterable[Doc], *, labels: Labels | None = None
    ) -> list[tuple[Window, Sequence[Request]]]:
        """What the model is asked about each window of some Docs.

        Raises ValueError without labels, OSError without weights."""
        windows = self._bound_windows(get_backbone(self.model), list(docs), labels)
        return [(each.window, each.requests()) for each in windows]

    def set_annotations(self, docs: Iterable[Doc], scores: list[Prediction]) -> None:
        """Write predictions on their Docs. Raises ValueError where another component
        wrote to the same span group just now."""
        for doc, prediction in zip(docs, scores):
            check_writer(doc, self.spans_key, self.name)
            annotate(
                doc,
                prediction.found,
                spans_key=self.spans_key,
                threshold=self.cfg["threshold"],
                thresholds=self.cfg["thresholds"],
                overwrite=self.overwrite,
                written_by=self.name,
            )
            if self.save_io:
                kept = doc.user_data.setdefault("instruction_ner_io", {})
                kept[self.name] = list(prediction.io)

    # Training.

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of Examples.

        examples (Iterable[Example]): tokens without entity annotation teach nothing.
        drop (float): rate of the adapter's dropout, and of those that the model's
            architecture has switched on.
        sgd (Optional[Optimizer]): the optimizer; without it gradients add up.
        losses (Optional[Dict[str, float]]): the loss (nats for each answer id that
            carries loss, or word that is scored) is added under the component's name.
        RETURNS (Dict[str, float]): the losses. Raises ValueError for a loss that is no
            finite number.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "InstructionNERPipe.update")
        examples = self.state.join(examples)
        self.state.forget_calibration()
        backbone = get_backbone(self.model)
        add_trained(self.model, backbone)
        records = self.records(examples)
        add_gradients(self.model, backbone, records, drop, self.name, losses)
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def records(self, examples: Sequence[Example]) -> list[TrainingRecord]:
        """What the task learns from Examples, cut into windows as when annotating."""
        windows = self._gold_windows(examples)
        positions = get_backbone(self.model).positions
        return make_records(windows, positions, self.loss == "grammar")

    def learnable(self, examples: Sequence[Example]) -> Learnable:
        """How much of Examples' annotation answers can say."""
        return count_learnable(self._gold_windows(examples))

    def answer_ids(self, examples: Sequence[Example]) -> AnswerIds:
        """How many ids of Examples' answers are learnt, and how many missing annotation
        costs."""
        windows = self._gold_windows(examples)
        positions = get_backbone(self.model).positions
        return count_ids(windows, positions, self.loss == "grammar")

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
        names: dict[str, str] | None = None,
        definitions: dict[str, str] | None = None,
        interpolation: InterpolationChoice | None = None,
        rehearsal: FurtherChoice | None = None,
        self_training: FurtherChoice | None = None,
    ) -> None:
        """Find labels and weights, and begin with a fresh adapter.

        get_examples (Callable): a sample of the training data.
        nlp (Optional[Language]): the pipeline, whose config is looked at.
        labels (Optional[List[str]]): from `[initialize]`; else the config's, else
            those of the data, sorted.
        names, definitions (Optional[Dict[str, str]]): words and meanings, by label,
            besides those of the config.
        interpolation (Optional[InterpolationChoice]): how much of what is learned is
            taken; None for all.
        rehearsal, self_training (Optional[FurtherChoice]): texts that join updates.
        Raises ValueError for a path of the config that is named and not read. Where
        anything goes wrong, the component stays as it was.
        """
        with self.state.all_or_nothing(self.model):
            if nlp is not None:
                check_paths(nlp)
            validate_get_examples(get_examples, "InstructionNERPipe.initialize")
            found = survey(get_examples())
            in_data = sorted(found.counts)
            self.state.initialize_labels(labels, in_data, names, definitions)
            warn_of_labels(self.labels, found.counts)
            if found.asks:
                self._label_set(None)
            # Now: the file that they come from may be gone when they are shown.
            self.state.demonstrations(self.task.examples, self.vocab, again=True)
            chosen = interpolation and interpolation(nlp, self, get_examples)
            self.state.forget_training()
            begin_afresh(self.model)
            if chosen:
                self.state.interpolate(self.model, chosen)
            chosen_texts = rehearsal, self_training
            self.state.begin_further(chosen_texts, nlp, self, get_examples)
        if found.incomplete and self.labels:
            ids = self.answer_ids(found.incomplete)
            warn_of_lost(found.misaligned, found.unlabelled, ids)

    # Saving and loading.

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Settings and weights as `to_disk` writes them.

        Raises ValueError where they take more than 2 GiB."""
        return saving.pack(self.state, self.model, self.bundle, exclude)

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = ()
    ) -> "InstructionNERPipe":
        """Read what `to_bytes` made."""
        saving.unpack(bytes_data, self.state, self.model, exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write settings, weights, tokenizer and adapter into a folder."""
        saving.save(Path(path), self.state, self.model, self.bundle, exclude)

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = ()
    ) -> "InstructionNERPipe":
        """Read what `to_disk` wrote; no network, no pickle.

        Right after the component is made, as in `spacy.load`, settings that differ from
        those that the saved one was configured with were given for this load: they win
        over the saved ones."""
        saving.load(Path(path), self.state, self.model, exclude)
        return self

    # Steps shared by annotating and training.

    def _label_set(self, labels: Labels | None, doc: Doc | None = None) -> LabelSet:
        """Those of the call, else those that the Doc brings, else the component's."""
        found = self.state.label_set(labels, doc)
        if found is None:
            raise ValueError(NO_LABELS.format(name=self.name))
        return found

    def _bind(self, backbone: Backbone, labels: LabelSet) -> BoundTask:
        shown = self.state.demonstrations(self.task.examples, self.vocab)
        settings = self.task, backbone, labels, self.decoder.max_span, shown
        key = backbone.encoder, labels, shown
        return self._bound.get(key, partial(bind_task, *settings))

    def _bound_windows(
        self, backbone: Backbone, docs: Sequence[Doc], labels: Labels | None
    ) -> list[BoundWindow]:
        """The windows of all Docs. labels: of a call, in place of the Docs' own."""
        own = [self._label_set(labels, doc) for doc in docs]
        tasks = [self._bind(backbone, each) for each in own]
        limits = self.max_window, self.window_overlap
        return bind_windows(backbone, docs, own, tasks, self.windows, limits)

    def _gold_windows(self, examples: Sequence[Example]) -> list[GoldWindow]:
        docs = [example.predicted for example in examples]
        windows = self._bound_windows(get_backbone(self.model), docs, None)
        return make_gold_windows(examples, windows, self.decoder.max_span)
