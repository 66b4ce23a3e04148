"""A pipeline by its name, for every process that annotates with it, and its
instruction_ner component. Source: ours."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from spacy.cli._util import import_code, setup_gpu
from spacy.language import Language
from spacy.util import load_model

from ..component import NO_LABELS, InstructionNERPipe
from ..files import sha256_of
from ..models.thinc_model import get_inference_backbone


@dataclass(frozen=True)
class Pipeline:
    """How to load a pipeline.

    name: a folder or the name of a package; labels: the labels to look for, the
    pipeline's own where there are none; code: a Python file with functions that the
    pipeline needs; gpu: number of the GPU, -1 for the CPU."""

    name: str
    labels: tuple[str, ...] = ()
    code: Path | None = None
    gpu: int = -1

    def load(self) -> Language:
        """The pipeline. Raises OSError where there is no such pipeline, and ValueError for
        labels without an instruction_ner component."""
        import_code(self.code)
        setup_gpu(self.gpu, silent=True)
        nlp = load_model(self.name)
        if self.labels:
            pipes = [pipe for _, pipe in nlp.pipeline]
            ours = [pipe for pipe in pipes if isinstance(pipe, InstructionNERPipe)]
            if not ours:
                raise ValueError(
                    f"{self.name} has no instruction_ner component that could look for "
                    f"{', '.join(self.labels)}. Its components are: "
                    f"{', '.join(nlp.pipe_names)}."
                )
            for pipe in ours:
                pipe.set_labels(list(self.labels))
        return nlp


def find_component(nlp: Language) -> tuple[str, InstructionNERPipe]:
    """The name of the one instruction_ner component of a pipeline, and the component.
    Raises ValueError where there is none, or more than one, and where it has no
    labels."""
    found = [(n, p) for n, p in nlp.pipeline if isinstance(p, InstructionNERPipe)]
    if len(found) != 1:
        names = ", ".join(name for name, _ in found) or "none"
        raise ValueError(
            f"The pipeline must have one `instruction_ner` component. It has: {names}."
        )
    ((name, pipe),) = found
    if not pipe.labels:
        raise ValueError(NO_LABELS.format(name=name))
    return name, pipe


def check_ready(nlp: Language) -> None:
    """Load the weights, so that what would fail for every text fails now. Raises
    ValueError for a component without labels, and OSError for one without weights."""
    for name, pipe in nlp.pipeline:
        if isinstance(pipe, InstructionNERPipe):
            if not pipe.labels:
                raise ValueError(NO_LABELS.format(name=name))
            get_inference_backbone(pipe.model)


def fingerprint(nlp: Language) -> str:
    """SHA-256 of a saved pipeline's config and files; of its config alone where it was not
    loaded from a folder."""
    own = hashlib.sha256(nlp.config.to_bytes())
    folder = Path(nlp.path) if nlp.path else Path()
    for path in sorted(folder.rglob("*")) if nlp.path else ():
        if path.is_file() and path.suffix != ".pyc":
            own.update(f"{path.relative_to(folder)}\0{sha256_of([path])}\0".encode())
    return own.hexdigest()
