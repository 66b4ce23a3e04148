"""A pipeline by its name, for every process that annotates with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Tuple

from spacy.cli._util import import_code, setup_gpu
from spacy.language import Language
from spacy.util import load_model

from ..pipe import InstructionNERPipe


@dataclass(frozen=True)
class Pipeline:
    """name: of a folder or a package; labels: what to look for in place of its own, if
    anything; code: a file with functions that it needs; gpu: which, -1 for the CPU."""

    name: str
    labels: Tuple[str, ...] = ()
    code: Optional[Path] = None
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
