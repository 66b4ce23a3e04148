"""A pipeline by its name, for every process that annotates with it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from spacy.cli._util import import_code, setup_gpu
from spacy.language import Language
from spacy.util import load_model

from ..component import NO_LABELS, InstructionNERPipe
from ..models.thinc_model import get_inference_backbone
from ..weights.sources import sha256_of


@dataclass(frozen=True)
class Pipeline:
    """name: of a folder or a package; labels: what to look for in place of its own, if
    anything; code: a file with functions that it needs; gpu: which, -1 for the CPU."""

    name: str
    labels: tuple[str, ...] = ()
    code: Path | None = None
    gpu: int = -1

    def load(self) -> Language:
        """Raises OSError where there is no such pipeline, ValueError for labels that no
        component of it takes."""
        import_code(self.code)
        setup_gpu(self.gpu, silent=True)
        nlp = load_model(self.name)
        if self.labels:
            pipes = [pipe for _, pipe in nlp.pipeline]
            ours = [pipe for pipe in pipes if isinstance(pipe, InstructionNERPipe)]
            if not ours:
                raise ValueError(
                    f"{self.name} has no instruction_ner component that could look for "
                    f"{', '.join(self.labels)}. Its components: "
                    f"{', '.join(nlp.pipe_names)}."
                )
            for pipe in ours:
                pipe.set_labels(list(self.labels))
        return nlp


def check_ready(nlp: Language) -> None:
    """What would fail for every text fails now. Raises ValueError for a component that
    has no labels, and OSError for one without weights."""
    for name, pipe in nlp.pipeline:
        if isinstance(pipe, InstructionNERPipe):
            if not pipe.labels:
                raise ValueError(NO_LABELS.format(name=name))
            get_inference_backbone(pipe.model)


def fingerprint(nlp: Language) -> str:
    """SHA-256 of a saved pipeline's files (of its config, where it was not loaded):
    what its name does not say."""
    own = hashlib.sha256(nlp.config.to_bytes())
    folder = Path(nlp.path) if nlp.path else Path()
    for path in sorted(folder.rglob("*")) if nlp.path else ():
        if path.is_file() and path.suffix != ".pyc":
            own.update(f"{path.relative_to(folder)}\0{sha256_of([path])}\0".encode())
    return own.hexdigest()
