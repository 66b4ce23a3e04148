"""Perturbed embeddings: the answers are to be the same when the prompt's embeddings are
a little off.

Source: CLLMFS names an adversarial augmentation of embeddings; which, its visible parts
do not say. The two here are FGM (Miyato et al. 2017: along the gradient, one more pass)
and uniform noise (Jain et al. 2023, NEFTune: no more passes). Never the weights are
changed, only what the embedding layer puts out in a pass. Strength and positions: ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from ..models.forward_output import TokenPositions
from ..tasks.base import Task, TrainingRecord
from .objective import Objective

Kind = Literal["gradient", "uniform"]
Positions = Literal["text", "prompt", "all"]


def build_fgm_v1(
    kind: Kind = "gradient",
    strength: float = 0.02,
    share: float = 1.0,
    positions: Positions = "text",
    weight: float = 1.0,
) -> "FGM":
    """Registered as `spacy-instructner.FGM.v1`.

    kind (str): "gradient", along the gradient of the loss, for a second pass; or
        "uniform", random, in the one pass that there is.
    strength (float): length of what is added to a record's embeddings (L2 norm over
        the positions), as a share of the length of these.
    share (float): of the passes that are perturbed, drawn at random.
    positions (str): the "text", the whole "prompt", or "all" that the model reads, the
        answer too. What is read once for several records, a prefix or a text, counts
        as a record.
    weight (float): of the second pass's likelihood beside the first's.
    RETURNS (FGM): the objective. Raises ValueError for values out of range.
    """
    return FGM(kind, strength, share, positions, weight)


@dataclass(frozen=True)
class FGM(Objective):
    """See `build_fgm_v1`."""

    kind: Kind
    strength: float
    share: float
    positions: Positions
    weight: float

    def __post_init__(self) -> None:
        if self.strength <= 0.0 or self.weight <= 0.0:
            raise ValueError(
                f"`strength` ({self.strength}) and `weight` ({self.weight}) must be "
                "above 0. To do without, take the objective out."
            )
        if not 0.0 < self.share <= 1.0:
            raise ValueError(
                f"`share` is a share of passes, above 0 and up to 1, not {self.share}."
            )

    @property
    def second_pass_weight(self) -> float:
        return self.weight if self.kind == "gradient" else 0.0

    def check(self, kind: str, task: Task) -> None:
        if self.positions == "all" and kind == "seq2seq":
            raise ValueError(
                '`positions = "all"` takes in the answer, but of an encoder-decoder '
                "model only what the encoder reads is perturbed. Take "
                '`positions = "prompt"`.'
            )

    def perturb(
        self,
        records: Sequence[TrainingRecord],
        token_positions: TokenPositions,
        embedded: torch.Tensor,
        gradient: torch.Tensor | None,
    ) -> torch.Tensor | None:
        if (gradient is None) == (self.kind == "gradient"):
            return None
        if self.share < 1.0 and float(torch.rand(())) >= self.share:
            return None
        groups = self._groups(records, token_positions)
        if not groups:
            return None
        device = embedded.device
        at = torch.tensor([i for group in groups for i in group], device=device)
        group = torch.tensor(
            [number for number, of in enumerate(groups) for _ in of], device=device
        )
        own = embedded.detach()[at].float()
        if gradient is None:
            # Drawn on the CPU, so that a seed gives the same on every device.
            along = (2 * torch.rand(own.shape) - 1).to(device)
        else:
            along = gradient[at].float()
        length = _lengths(own, group, len(groups))
        whole = _lengths(along, group, len(groups))
        # Without a gradient there is no direction.
        length = torch.where(whole > 0, length / whole, 0.0)
        added = torch.zeros_like(embedded.detach())
        added[at] = (self.strength * length[group][:, None] * along).to(added.dtype)
        return added

    def _groups(
        self, records: Sequence[TrainingRecord], token_positions: TokenPositions
    ) -> list[list[int]]:
        """Positions that are perturbed, by whose they are: a record's own, or what is
        read once for several."""
        groups: dict[tuple[str, int], list[int]] = {}
        for index, record in enumerate(records):
            first, stop = self._range(record)
            prefix = len(record.prefix)
            branch = prefix + token_positions.shared(record)
            for key, begin, end in (
                (("own", index), branch, len(record)),
                (("window", token_positions.own_starts[index]), prefix, branch),
                (("prefix", token_positions.prefix_starts[index]), 0, prefix),
            ):
                at = range(max(first, begin), min(stop, end))
                if at and key not in groups:
                    groups[key] = [token_positions.of(index, record, i) for i in at]
        return list(groups.values())

    def _range(self, record: TrainingRecord) -> tuple[int, int]:
        if self.positions == "text":
            return record.text
        if self.positions == "prompt":
            return 0, len(record.prefix) + len(record.suffix)
        return 0, len(record)


def _lengths(rows: torch.Tensor, group: torch.Tensor, count: int) -> torch.Tensor:
    """(rows, width) and the (rows,) group of each -> (groups,) L2 norms."""
    squares = torch.zeros(count, device=rows.device)
    return squares.index_add(0, group, rows.square().sum(1)).sqrt()
