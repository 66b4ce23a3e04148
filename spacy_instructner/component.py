"""The component: from Docs to windows, questions, answers, spans, and from Examples
to records and losses. Its settings are explained in `factory.py`."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import (
    Any,
)

import srsly
from spacy import util
from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc, Span
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer

from .annotations import (
    annotate,
    labels_of,
    read_example,
    register_score,
    within,
    writable,
)
from .calibration import Calibration
from .config_checks import check_paths
from .decoding.answers import TokenizedWords
from .decoding.beam_search import search
from .decoding.config import DecodingConfig
from .decoding.request import Answer, DecodingRequest
from .locks import Cache
from .models.backbone import Backbone
from .models.serialization import (
    load_model,
    model_from_bytes,
    model_to_bytes,
    save_model,
)
from .models.storage import check_files
from .models.thinc_model import (
    ModelConfig,
    begin_afresh,
    current_backbone,
    drop_backbone,
    drop_gradients,
    get_backbone,
    get_inference_backbone,
    has_backbone,
)
from .models.tokenization import TextEncoder
from .resolve import Found, merge
from .tasks.base import BoundTask, Demonstration, Task, TrainingRecord
from .tasks.labels import (
    Labels,
    LabelSet,
    make_label_set,
    unasked_words,
    with_own_words,
)
from .training.objective import Objective
from .training.records import (
    GoldWindow,
    Ids,
    Learnable,
    count_ids,
    count_learnable,
    make_records,
    warn_of_labels,
    warn_of_lost,
)
from .training.step import TrainingPack
from .weights.sources import sha256_of
from .windows import (
    SpanGetter,
    Window,
    encode_windows,
    spaces_before,
    tell_unread,
)

NO_LABELS = (
    "The component {name!r} has no labels to look for. Give them in one of three ways: "
    'in the config, nlp.add_pipe("instruction_ner", config={{"labels": ["PERSON"]}}); '
    'afterwards, nlp.get_pipe({name!r}).set_labels(["PERSON"]); or for one call, '
    'nlp.pipe(texts, component_cfg={{{name!r}: {{"labels": ["PERSON"]}}}}).'
)
SAME_KEY = (
    "doc.spans[{key!r}] has the spans of the component {other!r} already, which {name!r} "
    "would replace. Give each component its own `spans_key` in its config. (To annotate a "
    "Doc anew by another pipeline, del doc.spans[{key!r}] first.)"
)
# In a saved component's folder.
CHECKSUMS = "checksums.json"
# How many label sets are kept ready.
BOUND = 256
DIVERGED = (
    "The loss of the component {name!r} is {loss}: training ran astray, and its weights "
    "are lost. Train again from the start with a lower learn rate ([training.optimizer])."
)


@dataclass(frozen=True)
class Prediction:
    """All spans found in one Doc, and, with `save_io`, what was asked and said."""

    found: tuple[Found, ...]
    io: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Lost:
    """Examples whose annotation has gaps, and which: see `report_lost`."""

    examples: list[Example]
    misaligned: list[Span]
    unlabelled: list[Span]


class InstructionNERPipe(TrainablePipe):
    """See `factory.make_instruction_ner` for the settings."""

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "instruction_ner",
        *,
        task: Task,
        loss: str,
        objectives: dict[str, Objective],
        labels: Sequence[str],
        label_names: dict[str, str],
        label_definitions: dict[str, str],
        decoder: DecodingConfig,
        windows: SpanGetter,
        max_window: int,
        window_overlap: int,
        threshold: float,
        spans_key: str,
        score_extension: str,
        overwrite: bool,
        bundle: str,
        save_io: bool,
        device: str,
        scorer: Callable | None,
    ) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"`threshold` must be in [0, 1], not {threshold}.")
        if max_window < 1 or not 0 <= window_overlap < max_window:
            raise ValueError(
                f"`window_overlap` ({window_overlap}) must be at least 0 and less than "
                f"`max_window` ({max_window})."
            )
        if bundle == "adapter" and model.attrs["config"].adapter is None:
            raise ValueError(
                '`bundle = "adapter"` saves the adapter alone, but the model has none: '
                "all its weights are trained. Give it an `adapter`, or save "
                '`bundle = "full"`.'
            )
        for key, objective in objectives.items():
            if not isinstance(objective, Objective):
                raise ValueError(
                    f"`objectives.{key}` must be an `objectives.base.Objective`, such "
                    f"as spacy-instructner.InfoNCE.v1, not {objective!r}."
                )
            objective.check(model.attrs["config"].kind, task)
        self.vocab = vocab
        self.model = model
        self.name = name
        self.task = task
        self.loss = loss
        self.decoder = decoder
        self.windows = windows
        self.max_window = max_window
        self.window_overlap = window_overlap
        self.spans_key = spans_key
        self.overwrite = overwrite
        self.bundle = bundle
        self.save_io = save_io
        self.scorer = scorer
        self.model.attrs["device"] = device
        self.model.attrs["objectives"] = objectives
        self.model.attrs["predict"] = self.predict
        self.cfg: dict[str, Any] = {"threshold": threshold}
        self._bound: Cache[
            tuple[TextEncoder, LabelSet, tuple[Demonstration, ...]], BoundTask
        ]
        self._bound = Cache(BOUND)
        self._weights_saved = False
        # What the config says of the settings that are saved beside it.
        self.configured: dict[str, Any] = {
            "threshold": threshold,
            "labels": list(labels),
            "label_names": dict(label_names),
            "label_definitions": dict(label_definitions),
        }
        self.set_labels(labels, label_names, label_definitions)
        # Nothing was loaded or changed since the config was read.
        self._as_configured = True
        register_score(score_extension, spans_key)

    # Labels.

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """What `spacy init labels` writes."""
        return list(self.labels)

    def set_labels(
        self,
        labels: Sequence[str],
        names: dict[str, str] | None = None,
        definitions: dict[str, str] | None = None,
    ) -> None:
        """Look for these labels from now on; saved with the pipeline.

        labels (Sequence[str]): the labels, in the order they are asked.
        names, definitions (Optional[Dict[str, str]]): words and meanings, by
            label; what is not given stays as it was.
        Raises ValueError for an empty label, one given twice, and two labels
        with the same words. Words for labels that are not there are warned of.
        """
        if labels:
            said = unasked_words(
                labels, label_names=names, label_definitions=definitions
            )
            for sentence in said:
                warnings.warn(sentence, stacklevel=2)
        self._as_configured = False
        old_names = self.cfg.get("label_names", {})
        old_definitions = self.cfg.get("label_definitions", {})
        names = {**old_names, **(names or {})}
        definitions = {**old_definitions, **(definitions or {})}
        make_label_set(labels, names, definitions)
        # Labels found in data give way to those of other data.
        self._labels_given = bool(labels)
        # At once, for whoever annotates meanwhile.
        self.cfg.update(
            labels=list(labels), label_names=names, label_definitions=definitions
        )

    def add_label(self, label: str) -> int:
        """Look for one more label. RETURNS (int): 0 if it was there, else 1."""
        if label in self.labels:
            return 0
        self.set_labels([*self.labels, label])
        return 1

    @property
    def calibration(self) -> Calibration:
        """What is done to scores; set by `set_calibration`, saved with the pipeline."""
        return Calibration(**self.cfg.get("calibration", {}))

    def set_calibration(self, calibration: Calibration) -> None:
        """Change what scores say. The threshold follows: it lets through what it let
        through before."""
        threshold = self.calibration.inverse(self.cfg["threshold"])
        if 0.0 < threshold < 1.0:
            threshold = calibration(threshold)
        else:
            threshold = self.cfg["threshold"]
        self.cfg.update(threshold=threshold, calibration=asdict(calibration))

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
            for doc, prediction in zip(docs, self._predict_each(docs, labels)):
                try:
                    if isinstance(prediction, Exception):
                        raise prediction
                    self.set_annotations([doc], [prediction])
                except Exception as error:
                    error_handler(self.name, self, [doc], error)
                else:
                    yield doc

    def _predict_each(
        self, docs: list[Doc], labels: Labels | None
    ) -> list[Prediction | Exception]:
        """What is found in each Doc, or why nothing can be."""
        try:
            return list(self.predict(docs, labels=labels))
        except Exception as error:
            if len(docs) == 1:
                return [error]
        return [self._predict_each([doc], labels)[0] for doc in docs]

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
        reader = get_inference_backbone(self.model)
        asked = self._requests(reader, docs, labels)
        requests = [request for _, of_window in asked for request in of_window]
        answers = search(
            reader, requests, self.decoder.batch_tokens, self.decoder.beam_width
        )
        rows = iter(zip(requests, answers))
        by_doc: list[list[tuple[Window, list[Found], list[dict]]]] = [[] for _ in docs]
        for window, of_window in asked:
            own = [next(rows) for _ in of_window]
            found = [found for _, answer in own for found in _on_doc(window, answer)]
            io = [self._io(reader, window, *row) for row in own] if self.save_io else []
            by_doc[window.doc].append((window, found, io))
        broken = sum(not answer.complete for answer in answers)
        if broken:
            message = (
                f"{broken} answers did not fit into the model's {reader.positions} "
                "positions; what they said before is kept. Lower `max_window`."
            )
            tell_unread(message, "answers", broken)
        calibration = self.calibration
        return [
            Prediction(
                found=tuple(
                    replace(found, score=calibration(found.score))
                    for found in merge([w for w, _, _ in rows], [f for _, f, _ in rows])
                ),
                io=tuple(entry for _, _, io in rows for entry in io),
            )
            for rows in by_doc
        ]

    def requests(
        self, docs: Iterable[Doc], *, labels: Labels | None = None
    ) -> list[tuple[Window, list[DecodingRequest]]]:
        """What the model is asked about each window of some Docs.

        Raises ValueError without labels, OSError without weights."""
        return self._requests(get_backbone(self.model), list(docs), labels)

    def _requests(
        self, backbone: Backbone, docs: list[Doc], labels: Labels | None
    ) -> list[tuple[Window, list[DecodingRequest]]]:
        tasks = self._tasks(backbone, docs, labels)
        windows, words = self._cut(backbone, tasks, docs)
        return [
            (window, tasks[window.doc].requests(of_window))
            for window, of_window in zip(windows, words)
        ]

    def set_annotations(self, docs: Iterable[Doc], scores: list[Prediction]) -> None:
        """Write predictions on their Docs. Raises ValueError where another component
        wrote to the same span group just now."""
        for doc, prediction in zip(docs, scores):
            before = doc.spans.get(self.spans_key)
            writer = getattr(before, "written_by", None)
            if writer not in (None, self.name):
                raise ValueError(
                    SAME_KEY.format(key=self.spans_key, other=writer, name=self.name)
                )
            annotate(
                doc,
                prediction.found,
                spans_key=self.spans_key,
                threshold=self.cfg["threshold"],
                overwrite=self.overwrite,
                written_by=self.name,
            )
            if self.save_io:
                kept = doc.user_data.setdefault("instruction_ner_io", {})
                kept[self.name] = list(prediction.io)

    # Training.

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
        names: dict[str, str] | None = None,
        definitions: dict[str, str] | None = None,
    ) -> None:
        """Find labels and weights, and begin with a fresh adapter.

        get_examples (Callable): a sample of the training data.
        nlp (Optional[Language]): the pipeline, whose config is looked at.
        labels (Optional[List[str]]): from `[initialize]`; else the config's, else
            those of the data, sorted.
        names, definitions (Optional[Dict[str, str]]): words and meanings, by label,
            besides those of the config.
        Raises ValueError for a path of the config that is named and not read. Where
        anything goes wrong, the component stays as it was.
        """
        with self._whole():
            lost = self._initialize(get_examples, nlp, labels, names, definitions)
        if lost is not None:
            warn_of_lost(
                lost.misaligned, lost.unlabelled, self.answer_ids(lost.examples)
            )

    def _initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        nlp: Language | None,
        labels: list[str] | None,
        names: dict[str, str] | None,
        definitions: dict[str, str] | None,
    ) -> Lost | None:
        """RETURNS (Optional[Lost]): annotation that is missing, where some is."""
        if nlp is not None:
            check_paths(nlp)
        validate_get_examples(get_examples, "InstructionNERPipe.initialize")
        counts: Counter = Counter()
        misaligned: list[Span] = []
        unlabelled: list[Span] = []
        torn: list[Example] = []
        asks = False
        for example in get_examples():
            read = read_example(example)
            misaligned.extend(read.misaligned)
            unlabelled.extend(read.unlabelled)
            if read.misaligned or read.unlabelled:
                torn.append(example)
            if labels_of(example.predicted) is None:
                asks = True
                counts.update(span.label_ for span in example.reference.ents)
        given = labels is not None or self._labels_given
        if labels is None:
            labels = list(self.labels) if self._labels_given else sorted(counts)
        self.set_labels(
            labels,
            {**self._config_words("label_names"), **(names or {})},
            {**self._config_words("label_definitions"), **(definitions or {})},
        )
        self._labels_given = given
        warn_of_labels(self.labels, counts)
        if asks:
            self._label_set(None)
        # Read now: the file that they come from may be gone when they are shown.
        self.cfg.pop("shown", None)
        self._shown()
        self.cfg.pop("calibration", None)
        begin_afresh(self.model)
        return Lost(torn, misaligned, unlabelled) if torn and self.labels else None

    def _config_words(self, setting: str) -> dict[str, str]:
        """What is said now of the labels that the config has words for: they must be
        there, too."""
        now = self.cfg[setting]
        return {label: now[label] for label in self.configured[setting] if label in now}

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """What stops before the weights are changed, at its end, has changed nothing."""
        names = ("_labels_given", "_weights_saved", "_as_configured", "configured")
        own = {name: getattr(self, name) for name in names}
        cfg, weights = dict(self.cfg), current_backbone(self.model)
        try:
            yield
        except BaseException:
            if current_backbone(self.model) is weights:
                self.cfg.clear()
                self.cfg.update(cfg)
                self.__dict__.update(own)
            raise

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of Examples.

        examples (Iterable[Example]): tokens without entity annotation teach
            nothing.
        drop (float): rate of the adapter's dropout, and of those that the model's
            architecture has switched on.
        sgd (Optional[Optimizer]): the optimizer; without it gradients add up.
        losses (Optional[Dict[str, float]]): the loss (nats an answer id that carries
            loss) is added under the component's name.
        RETURNS (Dict[str, float]): the losses. Raises ValueError for a loss that is no
            finite number.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "InstructionNERPipe.update")
        # It was of scores before this.
        self.cfg.pop("calibration", None)
        backbone = get_backbone(self.model)
        config: ModelConfig = self.model.attrs["config"]
        if config.adapter is not None:
            backbone.add_adapter(config.adapter)
        records = self.records(examples)
        total = sum(sum(record.weights) for record in records)
        if total:
            backbone.set_dropout(drop)
            objectives: dict[str, Objective] = self.model.attrs["objectives"]
            terms = {name: each.terms(records) for name, each in objectives.items()}
            try:
                for pack in backbone.packs(records, config.pack_tokens):
                    loss, backprop = self.model.begin_update(
                        TrainingPack(pack, total, terms)
                    )
                    if not math.isfinite(loss):
                        raise ValueError(DIVERGED.format(name=self.name, loss=loss))
                    backprop(1.0)
                    losses[self.name] += loss
            except BaseException:
                # Half of a step must not become a part of the next.
                drop_gradients(self.model)
                raise
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def records(self, examples: Sequence[Example]) -> list[TrainingRecord]:
        """What the task learns from Examples, cut into windows as when annotating."""
        backbone = get_backbone(self.model)
        golds = self._golds(backbone, examples)
        choices = self.loss == "grammar"
        return make_records(golds, backbone.positions, choices)

    def learnable(self, examples: Sequence[Example]) -> Learnable:
        """How much of Examples' annotation answers can say."""
        return count_learnable(self._golds(get_backbone(self.model), examples))

    def answer_ids(self, examples: Sequence[Example]) -> Ids:
        """How many ids of Examples' answers are learnt, and how many missing annotation
        costs."""
        backbone = get_backbone(self.model)
        golds = self._golds(backbone, examples)
        return count_ids(golds, backbone.positions, self.loss == "grammar")

    def _golds(
        self, backbone: Backbone, examples: Sequence[Example]
    ) -> list[GoldWindow]:
        docs = [example.predicted for example in examples]
        tasks = self._tasks(backbone, docs, None)
        windows, words = self._cut(backbone, tasks, docs)
        golds = [read_example(example).gold for example in examples]
        labels = [self._label_set(None, doc).labels for doc in docs]
        return [
            GoldWindow(
                window,
                of_window,
                writable(
                    within(golds[window.doc], window),
                    of_window,
                    labels[window.doc],
                    self.decoder.max_span,
                ),
                tasks[window.doc],
            )
            for window, of_window in zip(windows, words)
        ]

    # Steps shared by annotating and training.

    def _label_set(self, labels: Labels | None, doc: Doc | None = None) -> LabelSet:
        """Those of the call, else those that the Doc brings, else the component's."""
        if labels is None and doc is not None:
            labels = labels_of(doc)
        # All of one moment.
        cfg = dict(self.cfg)
        asked = cfg["labels"] if labels is None else labels
        if not asked:
            raise ValueError(NO_LABELS.format(name=self.name))
        return with_own_words(asked, cfg["label_names"], cfg["label_definitions"])

    def _tasks(
        self, backbone: Backbone, docs: Sequence[Doc], labels: Labels | None
    ) -> list[BoundTask]:
        """The task of each Doc."""
        return [self._bind(backbone, self._label_set(labels, doc)) for doc in docs]

    def _bind(self, backbone: Backbone, labels: LabelSet) -> BoundTask:
        shown = tuple(self._shown())

        def bind() -> BoundTask:
            return self.task.bind(
                backbone.encoder,
                labels,
                end=backbone.tokenizer.eos_token_id,
                max_span=self.decoder.max_span,
                layout="text_first" if backbone.text_first else "text_last",
                demonstrations=shown,
            )

        return self._bound.get((backbone.encoder, labels, shown), bind)

    def _shown(self) -> list[Demonstration]:
        """The examples to show, read once and then saved with the pipeline."""
        if self.task.examples is None:
            return []
        if "shown" not in self.cfg:
            nlp = util.get_lang_class(self.vocab.lang or "xx")(vocab=self.vocab)
            self.cfg["shown"] = [
                {
                    "words": [token.text for token in example.predicted],
                    "spaces": spaces_before(example.predicted),
                    "entities": [list(e) for e in read_example(example).gold.entities],
                }
                for example in self.task.examples(nlp)
            ]
        return [
            Demonstration(
                tuple(row["words"]),
                tuple(row["spaces"]),
                tuple((start, end, label) for start, end, label in row["entities"]),
            )
            for row in self.cfg["shown"]
        ]

    def _cut(
        self, backbone: Backbone, tasks: Sequence[BoundTask], docs: list[Doc]
    ) -> tuple[list[Window], list[TokenizedWords]]:
        """Cut Docs into windows and encode them. tasks: of each Doc."""
        room = {task: self._room(backbone, task) for task in dict.fromkeys(tasks)}
        return encode_windows(
            backbone.encoder, self.windows, docs, [room[task] for task in tasks]
        )

    def _room(self, backbone: Backbone, task: BoundTask) -> tuple[int, int]:
        """Most model tokens in a window, and how many of them cut windows share."""
        # Prompt, text and answer share the model's positions; an answer says the
        # text once at most, and labels besides.
        room = (backbone.positions - task.constant()) // 3
        if room < 1:
            raise ValueError(
                f"The prompt without any text takes {task.constant()} of the model's "
                f"{backbone.positions} positions: there is no room for a text. Ask for "
                "fewer labels, or with shorter words."
            )
        budget = min(self.max_window, room)
        overlap = self.window_overlap
        if budget < self.max_window:
            overlap = min(overlap, budget // 2)
        return budget, overlap

    def _io(
        self,
        backbone: Backbone,
        window: Window,
        request: DecodingRequest,
        answer: Answer,
    ) -> dict[str, Any]:
        decode = backbone.encoder.decode
        return {
            "start": window.start,
            "end": window.end,
            "prompt": decode(request.prefix + request.own),
            "answer": decode(answer.ids),
        }

    # Saving and loading.

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write settings, weights, tokenizer and adapter into a folder."""
        if self.bundle == "full" and self.labels and not has_backbone(self.model):
            # Ready for zero-shot use: what is saved must work elsewhere.
            try:
                get_backbone(self.model)
            except OSError as error:
                warnings.warn(
                    f"The pipeline is saved without its weights: {error}", stacklevel=2
                )
        util.to_disk(
            path,
            {
                "cfg": lambda p: srsly.write_json(p, self._cfg_to_save()),
                "model": lambda p: save_model(self.model, p, self.bundle),
            },
            exclude,
        )
        # The model's folder has its own.
        saved = Path(path) / "cfg"
        if saved.is_file():
            srsly.write_json(Path(path) / CHECKSUMS, {"cfg": sha256_of([saved])})

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = ()
    ) -> "InstructionNERPipe":
        """Read what `to_disk` wrote; no network, no pickle.

        Right after the component is made, as in `spacy.load`, settings that differ from
        those that the saved one was configured with were given for this load: they win
        over the saved ones."""

        def read_model(folder: Path) -> None:
            if self._weights_saved:
                load_model(self.model, folder)
            else:
                drop_backbone(self.model)

        configured = self.configured if self._as_configured else None
        checksums = Path(path) / CHECKSUMS
        if checksums.is_file() and "cfg" not in exclude:
            check_files(Path(path), srsly.read_json(checksums))
        readers = {
            "cfg": lambda p: self._read_cfg(srsly.read_json(p), configured),
            "model": read_model,
        }
        with self._whole():
            util.from_disk(path, readers, exclude)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Settings and weights as `to_disk` writes them.

        Raises ValueError where they take more than 2 GiB."""
        return util.to_bytes(
            {
                "cfg": lambda: srsly.json_dumps(self._cfg_to_save()),
                "model": lambda: srsly.msgpack_dumps(
                    model_to_bytes(self.model, self.bundle)
                ),
            },
            exclude,
        )

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = ()
    ) -> "InstructionNERPipe":
        """Read what `to_bytes` made."""
        readers = {
            "cfg": lambda b: self._read_cfg(srsly.json_loads(b)),
            "model": lambda b: model_from_bytes(self.model, srsly.msgpack_loads(b)),
        }
        with self._whole():
            util.from_bytes(bytes_data, readers, exclude)
        return self

    def _cfg_to_save(self) -> dict[str, Any]:
        # A pipeline whose weights were not needed yet is saved without them; one
        # that lost them on the way must not be taken for it.
        return {
            **self.cfg,
            "weights": has_backbone(self.model),
            "configured": self.configured,
        }

    def _read_cfg(
        self, cfg: dict[str, Any], given: dict[str, Any] | None = None
    ) -> None:
        """given: what the config says now, where that may win."""
        self._weights_saved = cfg.pop("weights")
        # Folders that were saved without it have their own settings.
        before = cfg.pop("configured", None)
        if given is not None and before is not None:
            cfg.update(overridden(cfg, before, given))
            make_label_set(cfg["labels"], cfg["label_names"], cfg["label_definitions"])
        self.cfg.pop("calibration", None)
        self.cfg.update(cfg)
        self._labels_given = bool(self.labels)
        self._as_configured = False


def overridden(
    saved: dict[str, Any], before: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    """The settings that were given for this load, where they are not those of the config
    that was saved. No labels and no words are nothing given; words are those of the
    labels that they were given for, beside the saved ones.

    saved: settings as they are kept; before, given: as the config had them then, and has
    them now."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if isinstance(value, dict):
            new = {k: said for k, said in value.items() if before[key].get(k) != said}
            found[key] = {**saved[key], **new}
        elif value != before[key] and value != []:
            found[key] = value
    return found


def _on_doc(window: Window, answer: Answer) -> list[Found]:
    """An answer's spans, counted from the start of the Doc."""
    return [
        Found(
            window.start + span.start, window.start + span.end, span.label, span.score
        )
        for span in answer.spans
    ]
