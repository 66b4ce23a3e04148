"""The factory `instruction_ner`: its settings, their defaults and what they mean."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal

from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from thinc.api import Config, Model

from .annotations import same_spans_key
from .callbacks import interpolate_optimizer
from .config_checks import check_config_holds
from .decoding.config import DecodingConfig
from .span_getters import SpanGetter, stand_in_for_spacy_transformers
from .tasks.base import Task

DEFAULT_CONFIG = Config().from_str(
    """
[instruction_ner]
loss = "vocabulary"
objectives = {}
labels = []
label_names = {}
label_definitions = {}
known_labels = true
max_window = 512
window_overlap = 64
threshold = null
thresholds = {}
spans_key = "instruction_ner"
score_extension = "instruction_ner_score"
overwrite = false
typing = false
bundle = "full"
save_io = false
device = "auto"

[instruction_ner.model]
@architectures = "spacy-instructner.CausalLM.v1"

[instruction_ner.model.adapter]
@misc = "spacy-instructner.LoRA.v1"

[instruction_ner.task]
@misc = "spacy-instructner.JustPassTwice.v1"

[instruction_ner.decoder]
@misc = "spacy-instructner.Decoder.v1"

[instruction_ner.windows]
@misc = "spacy-instructner.WholeDocs.v1"

[instruction_ner.scorer]
@scorers = "spacy.ner_scorer.v1"
"""
)["instruction_ner"]


stand_in_for_spacy_transformers()


@Language.factory(
    "instruction_ner",
    assigns=["doc.ents", "doc.spans", "token.ent_iob", "token.ent_type"],
    default_config=DEFAULT_CONFIG,
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_per_type": None,
    },
)
def make_instruction_ner(
    nlp: Language,
    name: str,
    model: Model,
    task: Task,
    loss: Literal["vocabulary", "grammar"],
    # Objectives by name. With that type, a config could not give them as blocks.
    objectives: dict[str, Any],
    labels: list[str],
    label_names: dict[str, str],
    label_definitions: dict[str, str],
    known_labels: bool,
    decoder: DecodingConfig,
    windows: SpanGetter,
    max_window: int,
    window_overlap: int,
    threshold: float | None,
    thresholds: dict[str, float],
    spans_key: str,
    score_extension: str,
    overwrite: bool,
    typing: bool,
    bundle: Literal["full", "adapter"],
    save_io: bool,
    device: str,
    scorer: Callable | None,
) -> TrainablePipe:
    """Make the component; cheap: no weights are read, no network is touched.

    model (Model): who answers: `spacy-instructner.CausalLM.v1`.
    task (Task): what is asked: `spacy-instructner.JustPassTwice.v1`,
        `spacy-instructner.CLLMFS.v1` or `spacy-instructner.InstructionNER.v1`.
    loss (str): what an answer's probability is normalised over in training: the whole
        "vocabulary", or what the "grammar" allows, as in answering; then only decisions
        carry loss.
    objectives (Dict[str, Objective]): what is learned besides the likelihood, by name:
        `spacy-instructner.InfoNCE.v1`, `spacy-instructner.FGM.v1`.
    labels (List[str]): the labels to look for.
    label_names (Dict[str, str]): words for a label in prompts; by default those of
        `known_labels`, or the label in lower case, `_` and `-` as spaces.
    label_definitions (Dict[str, str]): what labels mean.
    known_labels (bool): whether codes and abbreviations that are well known (ORG, GPE)
        get the names and definitions of a table, where none are given.
    decoder (Decoder): how answers are searched.
    windows (SpanGetter): proposes windows, by default the whole text.
    max_window (int): most model tokens in a window; longer ones are cut.
    window_overlap (int): model tokens that cut windows share, at most.
    threshold (Optional[float]): lowest score that reaches doc.ents; null takes the task's
        own: 0 where answers are written, 0.4 where spans are scored.
    thresholds (Dict[str, float]): in its place, by label.
    spans_key (str): the span group for every answered span.
    score_extension (str): Span._.<this> looks up a span's score.
    overwrite (bool): replace earlier entities.
    typing (bool): let labels compete for a span that several claim, by a question.
    bundle (str): "full" saves the base weights with the pipeline, "adapter" only
        the adapter; the base is then found by the model's name when loading.
    save_io (bool): keep prompts and answers in doc.user_data.
    device (str): "auto" follows spaCy, else a torch device.
    scorer (Optional[Callable]): the scoring method.
    Raises ValueError for a `spans_key` that another component of the pipeline has, and
    for what a config file cannot hold.
    """
    # By name, for `Settings`, which has the same names.
    arguments = dict(locals())
    # spaCy imports this module with each blank pipeline, which must not wait for models.
    from .component import InstructionNERPipe
    from .settings import Settings

    for other, pipe in nlp.components:
        if isinstance(pipe, InstructionNERPipe) and pipe.spans_key == spans_key:
            raise ValueError(same_spans_key(spans_key, other, name))
    check_config_holds(
        {
            "labels": labels,
            "label_names": label_names,
            "label_definitions": label_definitions,
            "thresholds": thresholds,
            "spans_key": spans_key,
            "score_extension": score_extension,
        }
    )
    # Configs, ours among them, let schedules refer to `[training] max_steps`.
    interpolate_optimizer(nlp)
    settings = Settings(
        **{each.name: arguments[each.name] for each in fields(Settings)}
    )
    return InstructionNERPipe(nlp.vocab, model, name, settings=settings)
