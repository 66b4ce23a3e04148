"""What a component keeps besides its weights: labels with their words, threshold,
calibration, demonstrations. Saved beside the config, as it may change afterwards.
Source: ours."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model

from .binding import make_demonstrations, read_demonstrations
from .calibration import Calibration
from .models.thinc_model import interpolate, shim_of
from .tasks.base import Demonstration, ExampleReader
from .tasks.labels import (
    Labels,
    LabelSet,
    labels_of,
    make_label_set,
    unasked_words,
    with_own_words,
)
from .training.further_texts import FurtherTexts, joined

# Gets the pipeline, where one is known, its component and the training data, and says how
# much of what is learned is taken: {"share": from 0 to 1, "f1": {share: F1}}.
InterpolationChoice = Callable[[Any, Any, Callable[[], Any]], Mapping[str, Any]]
# Gets the same, and says which texts join the updates that follow.
FurtherChoice = Callable[[Any, Any, Callable[[], Any]], FurtherTexts]
NO_LABELS = (
    "The component {name!r} has no labels to look for. Give them in one of three ways: "
    'in the config, nlp.add_pipe("instruction_ner", config={{"labels": ["PERSON"]}}); '
    'afterwards, nlp.get_pipe({name!r}).set_labels(["PERSON"]); or for one call, '
    'nlp.pipe(texts, component_cfg={{{name!r}: {{"labels": ["PERSON"]}}}}).'
)


@dataclass
class State:
    """cfg: what holds now; configured: what the config said of it; labels_given: whether
    somebody gave the labels (labels found in data give way to those of other data);
    weights_saved: whether the folder that was loaded has weights; as_configured: whether
    nothing was loaded or changed since the config was read; further: texts that join updates,
    which are not saved; updates: how many there were since these were chosen."""

    cfg: dict[str, Any]
    configured: dict[str, Any]
    labels_given: bool = False
    weights_saved: bool = False
    as_configured: bool = False
    further: tuple[FurtherTexts, ...] = ()
    updates: int = 0

    @classmethod
    def of(cls, configured: dict[str, Any]) -> "State":
        """As the config has it, without labels: these follow, checked."""
        now = ("threshold", "thresholds", "known_labels")
        return cls({key: configured[key] for key in now}, configured)

    def interpolate(self, model: Model, chosen: Mapping[str, Any]) -> None:
        """Take as much of what the model learns as was chosen, and keep why.

        chosen: {"share": from 0 to 1, "f1": {share: F1}}, as `InterpolationChoice`
            gives it. Raises ValueError as `models.thinc_model.interpolate`."""
        interpolate(model, chosen["share"])
        self.cfg["interpolation"] = dict(chosen)

    # Further texts.

    def begin_further(
        self,
        choices: Sequence[FurtherChoice | None],
        nlp: Any,
        pipe: Any,
        get_examples: Callable[[], Any],
    ) -> None:
        """Choose the texts that join updates from now on. pipe: the component, which says what
        it finds in them now."""
        self.further, self.updates = (), 0
        self.further = tuple(
            choice(nlp, pipe, get_examples) for choice in choices if choice
        )

    def join(self, examples: Sequence[Example]) -> list[Example]:
        """All that is learned in an update of these Examples."""
        update, self.updates = self.updates, self.updates + 1
        self.further = tuple(each.at(update) for each in self.further)
        return joined(self.further, update, examples)

    # Labels.

    def set_labels(
        self,
        labels: Sequence[str],
        names: Mapping[str, str] | None,
        definitions: Mapping[str, str] | None,
    ) -> None:
        """See `component.InstructionNERPipe.set_labels`."""
        if labels:
            problems = unasked_words(
                labels,
                label_names=names,
                label_definitions=definitions,
                thresholds=self.cfg["thresholds"],
            )
            for sentence in problems:
                warnings.warn(sentence, stacklevel=3)
        self.as_configured = False
        old_names = self.cfg.get("label_names", {})
        old_definitions = self.cfg.get("label_definitions", {})
        all_names = {**old_names, **(names or {})}
        all_definitions = {**old_definitions, **(definitions or {})}
        make_label_set(labels, all_names, all_definitions, self.cfg["known_labels"])
        self.labels_given = bool(labels)
        # At once, for whoever annotates meanwhile.
        self.cfg.update(
            labels=list(labels),
            label_names=all_names,
            label_definitions=all_definitions,
        )

    def initialize_labels(
        self,
        labels: Sequence[str] | None,
        in_data: Sequence[str],
        names: Mapping[str, str] | None,
        definitions: Mapping[str, str] | None,
    ) -> None:
        """Take the labels of `[initialize]`, else those that were given before, else
        those of the data. names, definitions: of `[initialize]`, besides the config's."""
        given = labels is not None or self.labels_given
        if labels is None:
            labels = list(self.cfg["labels"]) if self.labels_given else in_data
        self.set_labels(
            labels,
            {**self._configured_words("label_names"), **(names or {})},
            {**self._configured_words("label_definitions"), **(definitions or {})},
        )
        self.labels_given = given

    def _configured_words(self, setting: str) -> dict[str, str]:
        """The words that hold now for the labels that the config has words for: these
        labels must be there, too."""
        now = self.cfg[setting]
        return {label: now[label] for label in self.configured[setting] if label in now}

    def label_set(self, labels: Labels | None, doc: Doc | None) -> LabelSet | None:
        """The labels of a call, else those that the Doc brings, else the component's;
        None where there are none."""
        if labels is None and doc is not None:
            labels = labels_of(doc)
        # All of one moment.
        cfg = dict(self.cfg)
        asked = cfg["labels"] if labels is None else labels
        if not asked:
            return None
        return with_own_words(
            asked, cfg["label_names"], cfg["label_definitions"], cfg["known_labels"]
        )

    def label_words(self) -> dict[str, dict[str, str]]:
        """See `component.InstructionNERPipe.label_words`."""
        asked = self.label_set(None, None)
        if asked is None:
            return {}
        words = zip(asked.labels, asked.names, asked.definitions)
        return {
            label: {"name": name, "definition": definition}
            for label, name, definition in words
        }

    # What goes with scores and prompts.

    @property
    def calibration(self) -> Calibration:
        return Calibration(**self.cfg.get("calibration", {}))

    def set_calibration(self, calibration: Calibration) -> None:
        """See `component.InstructionNERPipe.set_calibration`."""
        before = self.calibration

        def follow(threshold: float) -> float:
            as_read = before.inverse(threshold)
            return calibration(as_read) if 0.0 < as_read < 1.0 else threshold

        self.cfg.update(
            threshold=follow(self.cfg["threshold"]),
            thresholds={k: follow(each) for k, each in self.cfg["thresholds"].items()},
            calibration=asdict(calibration),
        )

    def forget_calibration(self) -> None:
        """It belongs to the scores of weights that are no longer there."""
        self.cfg.pop("calibration", None)

    def forget_training(self) -> None:
        """What was found out about weights that are given up."""
        self.forget_calibration()
        self.cfg.pop("interpolation", None)
        self.further, self.updates = (), 0

    def demonstrations(
        self, reader: ExampleReader | None, vocab: Vocab, again: bool = False
    ) -> tuple[Demonstration, ...]:
        """The examples that a task shows: read once, or once more, and then kept."""
        if again:
            self.cfg.pop("shown", None)
        if reader is None:
            return ()
        if "shown" not in self.cfg:
            self.cfg["shown"] = read_demonstrations(reader, vocab)
        return make_demonstrations(self.cfg["shown"])

    # Saving and loading.

    def to_save(self, weights: bool) -> dict[str, Any]:
        """As JSON can hold it. weights: whether there are some. A pipeline whose weights
        were not needed yet is saved without them; one that lost them on the way must not
        be taken for it."""
        return {**self.cfg, "weights": weights, "configured": self.configured}

    def read(
        self, saved: Mapping[str, Any], given: Mapping[str, Any] | None = None
    ) -> None:
        """Take over what `to_save` made. given: what the config says now, where that may
        win. Raises ValueError where labels could not be told apart then."""
        # What was saved without the first of these settings learned default names.
        cfg = {"known_labels": False, "thresholds": {}, **saved}
        self.weights_saved = cfg.pop("weights")
        # Folders that were saved without it keep their own settings.
        before = cfg.pop("configured", None)
        if given is not None and before is not None:
            cfg.update(overridden(cfg, before, given))
            words = cfg["label_names"], cfg["label_definitions"]
            make_label_set(cfg["labels"], *words, cfg["known_labels"])
        self.forget_training()
        self.cfg.update(cfg)
        self.labels_given = bool(self.cfg["labels"])
        self.as_configured = False

    @contextmanager
    def all_or_nothing(self, model: Model) -> Iterator[None]:
        """What fails has changed nothing, neither settings nor weights."""
        cfg, shim, identity = dict(self.cfg), shim_of(model), model.attrs["identity"]
        weights, interpolation = shim._model, shim.interpolation
        others = {k: value for k, value in self.__dict__.items() if k != "cfg"}
        try:
            yield
        except BaseException:
            if shim._model is not weights:
                shim.put(weights)
                shim.interpolation = interpolation
                model.attrs["identity"] = identity
            self.cfg.clear()
            self.cfg.update(cfg)
            self.__dict__.update(others)
            raise


def overridden(
    saved: Mapping[str, Any], before: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings that were given for this load, where they are not those of the config
    that was saved. No labels and no words are nothing given; words are those of the
    labels that they were given for, beside the saved ones. Of a setting that the saved
    config does not know, nobody can tell whether it was given or is its default, unless
    the default is to have no entry.

    saved: settings as they are kept; before, given: as the config had them then, and has
    them now."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if isinstance(value, dict):
            known = before.get(key, {})
            new = {k: words for k, words in value.items() if known.get(k) != words}
            found[key] = {**saved[key], **new}
        elif key in before and value != before[key] and value != []:
            found[key] = value
    return found
