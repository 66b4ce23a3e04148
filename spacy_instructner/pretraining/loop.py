"""Training in stages: as `spacy train`, but from a corpus without end, and able to go on
where it was stopped or killed."""

import hashlib
import json
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import srsly
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.util import load_model_from_config, registry, resolve_dot_names
from thinc.api import Config, fix_random_seed

from ..models.starts import write_start
from ..pipe import InstructionNERPipe
from . import checkpoints
from .checkpoints import State

LOG = "log.jsonl"
MODEL = "model"
ADAPTER = "adapter"


@dataclass(frozen=True)
class Entry:
    """A line of the log: how far training was, the mean loss since the line before, and
    the scores on the dev corpus."""

    state: State
    loss: Optional[float]
    dev: Dict[str, float]

    def to_json(self) -> Dict[str, Any]:
        state = asdict(self.state)
        state.pop("config")
        return {**state, "loss": self.loss, "dev": self.dev}


def pretrain(
    config: Config,
    output: Path,
    *,
    seconds: Optional[float] = None,
    said: Callable[[Entry], None] = lambda entry: None,
) -> bool:
    """Train a pipeline's instruction_ner component, from its checkpoint on if there is
    one; every `[training] eval_frequency` steps it is scored, logged and kept.

    config (Config): of a pipeline, as `spacy train` takes it. `[training]`: train_corpus
        with a `starting` method, dev_corpus, batcher, optimizer, max_steps,
        eval_frequency, dropout, seed and score_weights count.
    output (Path): a folder for the checkpoint, the log (log.jsonl) and, at the end, the
        pipeline (model) and its adapter alone, for others to start from (adapter).
    seconds (Optional[float]): stop after about so many, at the next checkpoint.
    said (Callable): gets each line of the log.
    RETURNS (bool): whether all steps are done. Raises ValueError for a config that
        cannot be trained like this, and for a checkpoint of another one.
    """
    began = time.monotonic()
    nlp = load_model_from_config(config, auto_fill=True)
    whole = nlp.config.interpolate()
    settings = registry.resolve(whole["training"], schema=ConfigSchemaTraining)
    corpora = [settings["train_corpus"], settings["dev_corpus"]]
    train, dev = resolve_dot_names(whole, corpora)
    pipe = _checked(nlp, settings, train)
    fix_random_seed(settings["seed"])
    scored = list(dev(nlp))
    optimizer = settings["optimizer"]
    nlp.initialize(lambda: scored, sgd=optimizer)
    output.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(whole.to_bytes()).hexdigest()
    state = checkpoints.read(output, digest, pipe.model, optimizer) or State(digest)
    _forget(output / LOG, state.step)
    if state.step == 0:
        said(_note(output / LOG, state, None, nlp.evaluate(scored)))
    batches = settings["batcher"](train.starting(nlp, state.texts))
    losses: List[float] = []
    while state.step < settings["max_steps"]:
        batch = list(next(batches))
        begun = time.monotonic()
        with warnings.catch_warnings():
            # That nothing is said of what a label means is meant.
            warnings.filterwarnings("ignore", ".*has no definition in `label_def")
            # What is drawn in an update follows from its number: as if never stopped.
            fix_random_seed(settings["seed"] + state.step)
            ids = sum(len(record) for record in pipe.records(batch))
            fix_random_seed(settings["seed"] + state.step)
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
        said(_note(output / LOG, state, mean, nlp.evaluate(scored)))
        losses = []
        checkpoints.write(output, state, pipe.model, optimizer)
        if seconds is not None and time.monotonic() - began > seconds:
            break
    done: bool = state.step >= settings["max_steps"]
    if done:
        nlp.to_disk(output / MODEL)
        if pipe.bundle == "adapter":
            write_start(output / MODEL / pipe.name / "model", output / ADAPTER)
    return done


def _checked(nlp: Language, settings: Dict[str, Any], train: Any) -> InstructionNERPipe:
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
    if settings["max_steps"] < 1 or settings["accumulate_gradient"] != 1:
        raise ValueError(
            "`[training] max_steps` must be at least 1, and `accumulate_gradient` 1: a "
            "batch is cut into passes by the model's `pack_tokens`."
        )
    return pipes[0]


def _note(path: Path, state: State, loss: Optional[float], scores: Dict) -> Entry:
    """Add a line to the log."""
    dev = {name: scores[name] for name in ("ents_p", "ents_r", "ents_f")}
    entry = Entry(state, loss, dev)
    with path.open("a", encoding="utf8") as file_:
        file_.write(json.dumps(entry.to_json()) + "\n")
    return entry


def read_log(path: Path) -> List[Dict[str, Any]]:
    return list(srsly.read_jsonl(path)) if path.exists() else []


def _forget(path: Path, step: int) -> None:
    """Drop lines that tell of steps after the checkpoint: they are done again."""
    lines = path.read_text(encoding="utf8").splitlines() if path.exists() else []
    kept = [line for line in lines if step and json.loads(line)["step"] <= step]
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf8")
