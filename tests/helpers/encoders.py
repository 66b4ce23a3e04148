"""A tiny encoder for baselines, and the texts whose words it knows."""

from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

TEXTS = [
    ("Anna met Bert", [(0, 1, "PERSON"), (2, 3, "PERSON")]),
    ("Bert lives in Old Paris", [(0, 1, "PERSON"), (3, 5, "PLACE")]),
    ("nothing is here", []),
]


def make_encoder(folder: Path) -> Path:
    """A tiny BERT that knows the words of the texts."""
    words = sorted({word.lower() for text, _ in TEXTS for word in text.split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=128)
    tokenizer.save_pretrained(folder / "encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertModel(config).save_pretrained(folder / "encoder")
    return folder / "encoder"
