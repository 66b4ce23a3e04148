"""Models of each kind to train."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from spacy.language import Language

from helpers.objectives import Seen, pipe_of
from spacy_instructner.models.forward_output import TokenPositions
from spacy_instructner.models.thinc_model import get_backbone


@pytest.fixture
def model_of(tiny_causal: Path, tiny_seq2seq: Callable[[str], Path]) -> Callable:
    """The model settings of a tiny model of each kind."""

    def settings(kind: str) -> dict:
        if kind == "causal":
            return {"name": str(tiny_causal)}
        return {
            "@architectures": "spacy-instructner.Seq2SeqLM.v1",
            "name": str(tiny_seq2seq(kind)),
        }

    return settings


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Language], list[Seen]]:
    """Begin to note down the passes of a pipeline."""

    def begin(nlp: Language) -> list[Seen]:
        passes: list[Seen] = []
        backbone = get_backbone(pipe_of(nlp).model)
        forward_records = backbone.forward_records

        def noted(records, layers=(), hook=None):  # type: ignore[no-untyped-def]
            def noting(embedded: torch.Tensor, places: TokenPositions) -> torch.Tensor:
                before = embedded.detach().clone()
                given = embedded if hook is None else hook(embedded, places)
                after = given.detach().clone()
                passes.append(Seen(list(records), places, before, after))
                return given

            return forward_records(records, layers, noting)

        monkeypatch.setattr(backbone, "forward_records", noted)
        return passes

    return begin
