"""Training in stages: as `spacy train`, but from a corpus without end, and able to continue
where it was stopped or killed. Source: ours."""

import json
import time
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.util import load_model_from_config, registry, resolve_dot_names
from thinc.api import Config, fix_random_seed

from ..component import InstructionNERPipe
from ..files import sha256_of, to_lines, write_whole
from ..models.pretrained_adapters import write_start
from .checkpoints import TrainingState, read_checkpoint, write_checkpoint

LOG = "log.jsonl"
MODEL = "model"
ADAPTER_FOLDER = "adapter"
LOCK = ".lock"
BATCHER = "spacy.batch_by_sequence.v1"


@dataclass(frozen=True)
class LogEntry:
    """A line of the log.

    state: how far training was; loss: the mean loss of the updates since the line before,
    in nats for each answer id that carries loss, None before the first update; dev:
    precision, recall and F1 on the dev corpus, from 0 to 1."""

    state: TrainingState
    loss: float | None
    dev: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """The line as JSON, without the settings."""
        state = asdict(self.state)
        state.pop("settings")
        return {**state, "loss": self.loss, "dev": self.dev}


OnLogEntry = Callable[[LogEntry], None]


def pretrain(
    config: Config,
    output: Path,
    *,
    seconds: float | None = None,
    on_progress: OnLogEntry = lambda entry: None,
) -> bool:
    """Train a pipeline's instruction_ner component, from its checkpoint on if there is
    one. Every `[training] eval_frequency` steps it is scored, logged and saved.

    config (Config): of a pipeline, as `spacy train` takes it. Of `[training]` only these
        settings count: train_corpus (with a `starting` method), dev_corpus, batcher
        (`spacy.batch_by_sequence.v1` of a constant size), optimizer, max_steps,
        eval_frequency, dropout and seed.
    output (Path): a folder for the checkpoint, the log (log.jsonl) and, at the end, the
        pipeline (model) and its adapter alone, for others to start from (adapter).
    seconds (float | None): stop after about so many seconds, at the next checkpoint.
    on_progress (Callable): gets each line of the log.
    RETURNS (bool): whether all steps are done. Raises ValueError for a config that
        cannot be trained like this, for a checkpoint of another config, and for a folder
        that another process trains in.
    """
    output.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / LOCK, timeout=0):
            return _train(config, output, seconds, on_progress)
    except Timeout:
        raise ValueError(f"Another process trains in {output}.") from None


def _train(
    config: Config, output: Path, seconds: float | None, on_progress: OnLogEntry
) -> bool:
    began = time.monotonic()
    setup = _prepare(config)
    optimizer, model = setup.settings["optimizer"], setup.component.model
    max_steps = setup.settings["max_steps"]
    checkpoint = read_checkpoint(output, setup.counting, model, optimizer)
    state = checkpoint or TrainingState(setup.counting)
    _forget(output / LOG, state.step)

    def log(loss: float | None) -> None:
        entry = LogEntry(state, loss, _evaluate(setup))
        _append(output / LOG, entry)
        on_progress(entry)

    if state.step == 0:
        log(None)
    examples = setup.corpus.starting(setup.nlp, state.texts)
    batches = setup.settings["batcher"](examples)
    losses: list[float] = []
    while state.step < max_steps:
        state, loss = _update(setup, state, list(next(batches)))
        losses.append(loss)
        if state.step % setup.settings["eval_frequency"] and state.step < max_steps:
            continue
        log(sum(losses) / len(losses))
        losses = []
        write_checkpoint(output, state, model, optimizer)
        if seconds is not None and time.monotonic() - began > seconds:
            break
    done: bool = state.step >= max_steps
    if done:
        _save(setup, output)
    return done


@dataclass(frozen=True)
class _Setup:
    """What stays the same in a training.

    nlp, component: what is trained; settings: the resolved `[training]`; counting: the
    settings that count, by name; corpus: the training corpus; dev: the Examples that are
    scored."""

    nlp: Language
    component: InstructionNERPipe
    settings: Mapping[str, Any]
    counting: Mapping[str, str]
    corpus: Any
    dev: Sequence[Example]


def _prepare(config: Config) -> _Setup:
    """An initialized pipeline and its corpora. Raises ValueError as `pretrain`."""
    nlp = load_model_from_config(config, auto_fill=True)
    whole = nlp.config.interpolate()
    settings = registry.resolve(whole["training"], schema=ConfigSchemaTraining)
    names = [settings["train_corpus"], settings["dev_corpus"]]
    corpus, dev_corpus = resolve_dot_names(whole, names)
    component = _checked(nlp, whole["training"], corpus)
    fix_random_seed(settings["seed"])
    dev = list(dev_corpus(nlp))
    if not dev:
        raise ValueError(f"[{settings['dev_corpus']}] has no text to score.")
    nlp.initialize(lambda: dev, sgd=settings["optimizer"])
    return _Setup(nlp, component, settings, settings_that_count(whole), corpus, dev)


def _evaluate(setup: _Setup) -> dict[str, float]:
    """Precision, recall and F1 on the dev corpus, with averaged weights if there are."""
    with setup.nlp.use_params(setup.settings["optimizer"].averages or {}):
        scores = setup.nlp.evaluate(setup.dev)
    return {name: scores[name] for name in ("ents_p", "ents_r", "ents_f")}


def _update(
    setup: _Setup, state: TrainingState, batch: list[Example]
) -> tuple[TrainingState, float]:
    """Learn from a batch. RETURNS: how far training is then, and the loss."""
    settings, component = setup.settings, setup.component
    # What is drawn in an update follows from its number: as if never stopped.
    seed = zlib.crc32(f"{settings['seed']} {state.step}".encode())
    with warnings.catch_warnings():
        # Many labels have no definition, on purpose.
        warnings.filterwarnings("ignore", ".*has no definition in `label_def")
        fix_random_seed(seed)
        ids = sum(len(record) for record in component.records(batch))
        began = time.monotonic()
        fix_random_seed(seed)
        losses = setup.nlp.update(
            batch, drop=settings["dropout"], sgd=settings["optimizer"]
        )
    settings["optimizer"].step_schedules()
    loss: float = losses[component.name]
    after = replace(
        state,
        step=state.step + 1,
        texts=state.texts + len(batch),
        ids=state.ids + ids,
        seconds=state.seconds + time.monotonic() - began,
    )
    return after, loss


def _save(setup: _Setup, output: Path) -> None:
    """Write the pipeline, and its adapter alone."""
    name, model = setup.component.name, setup.component.model
    with setup.nlp.use_params(setup.settings["optimizer"].averages or {}):
        setup.nlp.to_disk(output / MODEL)
    if model.attrs["config"].adapter is not None:
        write_start(output / MODEL / name / "model", output / ADAPTER_FOLDER)


def _checked(nlp: Language, settings: dict[str, Any], train: Any) -> InstructionNERPipe:
    """The component that is trained. Raises ValueError for what cannot be trained."""
    pipes = [pipe for _, pipe in nlp.pipeline]
    if len(pipes) != 1 or not isinstance(pipes[0], InstructionNERPipe):
        raise ValueError(
            f"The pipeline must be one instruction_ner component, not {nlp.pipe_names}."
        )
    if not hasattr(train, "starting"):
        raise ValueError(
            "The training corpus has no `starting` method, so training could not "
            "continue. Take one that has, such as spacy-instructner.LabelVariety.v1."
        )
    if min(settings["max_steps"], settings["eval_frequency"]) < 1 or (
        settings["accumulate_gradient"] != 1
    ):
        raise ValueError(
            "`[training] max_steps` and `eval_frequency` must be at least 1, and "
            "`accumulate_gradient` 1: a batch is cut into passes by the model's "
            "`pack_tokens`."
        )
    batcher = settings["batcher"]
    if batcher["@batchers"] != BATCHER or not isinstance(batcher["size"], int):
        raise ValueError(
            f"`[training.batcher]` must be {BATCHER} with a number as `size`: the number "
            "of texts so far tells which texts come next."
        )
    if settings["seed"] is None:
        raise ValueError("`[training] seed` must be a number.")
    if pipes[0].scorer is None:
        raise ValueError("The component must have a `scorer`.")
    return pipes[0]


def settings_that_count(config: Config) -> dict[str, str]:
    """The settings of a config that change the result, by name. A file counts by its
    contents (SHA-256), not by its path, and so does a folder that a corpus is read of."""
    found: dict[str, str] = {}

    def walk(block: Mapping[str, Any], before: str) -> None:
        for key, value in block.items():
            name = f"{before}{key}"
            if name in ("paths", "training.logger") or key == "device":
                continue
            # Texts of pretraining bring the names of their labels.
            if key == "known_labels":
                continue
            if isinstance(value, Mapping):
                walk(value, f"{name}.")
            elif isinstance(value, str) and value and (files := _files(name, value)):
                found[name] = f"sha256:{sha256_of(files)}"
            else:
                found[name] = json.dumps(value)

    walk(config, "")
    return found


def _files(name: str, value: str) -> list[Path]:
    """The files whose contents count for a setting."""
    path = Path(value)
    if name.startswith("corpora.") and path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file())
    return [path] if path.is_file() else []


def _append(path: Path, entry: LogEntry) -> None:
    """Add a line to the log."""
    with path.open("a", encoding="utf8") as file_:
        file_.write(json.dumps(entry.to_json()) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, without a last one that is not whole."""
    lines = path.read_text(encoding="utf8").splitlines(True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _forget(path: Path, step: int) -> None:
    """Drop the lines of steps after the checkpoint, as these steps are done again."""
    kept = [line for line in read_log(path) if step and line["step"] <= step]
    write_whole(path, to_lines(kept))
