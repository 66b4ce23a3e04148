"""Training in stages: as `spacy train`, but from a corpus without end, and able to go on
where it was stopped or killed."""

import json
import time
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.util import load_model_from_config, registry, resolve_dot_names
from thinc.api import Config, fix_random_seed

from ..component import InstructionNERPipe
from ..files import to_lines, write_whole
from ..models.pretrained_adapters import write_start
from ..weights.sources import sha256_of
from . import checkpoints
from .checkpoints import State

LOG = "log.jsonl"
MODEL = "model"
ADAPTER = "adapter"
LOCK = ".lock"
BATCHER = "spacy.batch_by_sequence.v1"


@dataclass(frozen=True)
class Entry:
    """A line of the log: how far training was, the mean loss of the updates since the
    line before (nats an answer id that carries loss), and precision, recall and F1 on
    the dev corpus."""

    state: State
    loss: float | None
    dev: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        state = asdict(self.state)
        state.pop("settings")
        return {**state, "loss": self.loss, "dev": self.dev}


def pretrain(
    config: Config,
    output: Path,
    *,
    seconds: float | None = None,
    said: Callable[[Entry], None] = lambda entry: None,
) -> bool:
    """Train a pipeline's instruction_ner component, from its checkpoint on if there is
    one; every `[training] eval_frequency` steps it is scored, logged and kept.

    config (Config): of a pipeline, as `spacy train` takes it. Of `[training]` these
        count, and nothing else: train_corpus (with a `starting` method), dev_corpus,
        batcher (`spacy.batch_by_sequence.v1` of a constant size), optimizer, max_steps,
        eval_frequency, dropout and seed.
    output (Path): a folder for the checkpoint, the log (log.jsonl) and, at the end, the
        pipeline (model) and its adapter alone, for others to start from (adapter).
    seconds (Optional[float]): stop after about so many, at the next checkpoint.
    said (Callable): gets each line of the log.
    RETURNS (bool): whether all steps are done. Raises ValueError for a config that
        cannot be trained like this, for a checkpoint of another one, and for a folder
        that another process is at.
    """
    output.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / LOCK, timeout=0):
            return _train(config, output, seconds, said)
    except Timeout:
        raise ValueError(f"Another process trains in {output}.") from None


def _train(
    config: Config,
    output: Path,
    seconds: float | None,
    said: Callable[[Entry], None],
) -> bool:
    began = time.monotonic()
    nlp = load_model_from_config(config, auto_fill=True)
    whole = nlp.config.interpolate()
    settings = registry.resolve(whole["training"], schema=ConfigSchemaTraining)
    corpora = [settings["train_corpus"], settings["dev_corpus"]]
    train, dev = resolve_dot_names(whole, corpora)
    pipe = _checked(nlp, whole["training"], train)
    fix_random_seed(settings["seed"])
    scored = list(dev(nlp))
    if not scored:
        raise ValueError(f"[{settings['dev_corpus']}] has no text to score.")
    optimizer = settings["optimizer"]
    nlp.initialize(lambda: scored, sgd=optimizer)
    own = what_counts(whole)
    state = checkpoints.read(output, own, pipe.model, optimizer) or State(own)
    _forget(output / LOG, state.step)

    def evaluate() -> dict[str, float]:
        with nlp.use_params(optimizer.averages or {}):
            scores = nlp.evaluate(scored)
        return {name: scores[name] for name in ("ents_p", "ents_r", "ents_f")}

    if state.step == 0:
        said(_note(output / LOG, Entry(state, None, evaluate())))
    batches = settings["batcher"](train.starting(nlp, state.texts))
    losses: list[float] = []
    while state.step < settings["max_steps"]:
        batch = list(next(batches))
        # What is drawn in an update follows from its number: as if never stopped.
        seed = zlib.crc32(f"{settings['seed']} {state.step}".encode())
        with warnings.catch_warnings():
            # That nothing is said of what a label means is meant.
            warnings.filterwarnings("ignore", ".*has no definition in `label_def")
            fix_random_seed(seed)
            ids = sum(len(record) for record in pipe.records(batch))
            begun = time.monotonic()
            fix_random_seed(seed)
            loss = nlp.update(batch, drop=settings["dropout"], sgd=optimizer)
        optimizer.step_schedules()
        losses.append(loss[pipe.name])
        state = replace(
            state,
            step=state.step + 1,
            texts=state.texts + len(batch),
            ids=state.ids + ids,
            seconds=state.seconds + time.monotonic() - begun,
        )
        if state.step % settings["eval_frequency"] and (
            state.step < settings["max_steps"]
        ):
            continue
        mean = sum(losses) / len(losses)
        said(_note(output / LOG, Entry(state, mean, evaluate())))
        losses = []
        checkpoints.write(output, state, pipe.model, optimizer)
        if seconds is not None and time.monotonic() - began > seconds:
            break
    done: bool = state.step >= settings["max_steps"]
    if done:
        with nlp.use_params(optimizer.averages or {}):
            nlp.to_disk(output / MODEL)
        if pipe.model.attrs["config"].adapter is not None:
            write_start(output / MODEL / pipe.name / "model", output / ADAPTER)
    return done


def _checked(nlp: Language, settings: dict[str, Any], train: Any) -> InstructionNERPipe:
    """The component that is trained. Raises ValueError for what cannot be."""
    pipes = [pipe for _, pipe in nlp.pipeline]
    if len(pipes) != 1 or not isinstance(pipes[0], InstructionNERPipe):
        raise ValueError(
            f"The pipeline must be one instruction_ner component, not {nlp.pipe_names}."
        )
    if not hasattr(train, "starting"):
        raise ValueError(
            "The training corpus cannot begin anywhere. Take one that can, such as "
            "spacy-instructner.LabelVariety.v1."
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
            f"`[training.batcher]` must be {BATCHER} with a number as `size`: which "
            "texts come next follows from how many there were."
        )
    if settings["seed"] is None:
        raise ValueError("`[training] seed` must be a number.")
    if pipes[0].scorer is None:
        raise ValueError("The component has no `scorer` to measure it by.")
    return pipes[0]


def what_counts(config: Config) -> dict[str, str]:
    """Settings by their names, without those that change nothing of the result; of a
    file what is in it, not where it lies."""
    found: dict[str, str] = {}

    def walk(block: Mapping[str, Any], before: str) -> None:
        for key, value in block.items():
            name = f"{before}{key}"
            if name in ("paths", "training.logger") or key == "device":
                continue
            if isinstance(value, Mapping):
                walk(value, f"{name}.")
            elif isinstance(value, str) and value and Path(value).is_file():
                found[name] = f"sha256:{sha256_of([Path(value)])}"
            else:
                found[name] = json.dumps(value)

    walk(config, "")
    return found


def _note(path: Path, entry: Entry) -> Entry:
    """Add a line to the log."""
    with path.open("a", encoding="utf8") as file_:
        file_.write(json.dumps(entry.to_json()) + "\n")
    return entry


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; without one that was being written when the end came."""
    lines = path.read_text(encoding="utf8").splitlines(True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _forget(path: Path, step: int) -> None:
    """Drop lines that tell of steps after the checkpoint: they are done again."""
    kept = [line for line in read_log(path) if step and line["step"] <= step]
    write_whole(path, to_lines(kept))
