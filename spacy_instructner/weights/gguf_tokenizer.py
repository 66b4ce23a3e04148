"""The tokenizer of a .gguf file whose pieces have scores in place of merges: SentencePiece's
byte-pair encoding with byte fallback, and no space put before a text (Gemma).

    file      '▁Lon' −500   'don' −300   '▁London' −900   …         the higher, the earlier
    merges    … ('▁Lon', 'don') makes '▁London': as early as '▁London' is
    text      "to London" ──► "to▁London" ──► 't' 'o' '▁' 'L' … ──merges──► 'to' '▁London'

transformers has a conversion of its own, which cuts Gemma's texts into two and a half times as
many ids as the model was trained with, and takes more than ten minutes of its 262,144 pieces.
Source: ours, by SentencePiece's rule (the pair that makes the piece with the highest score
is joined first).
"""

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

# Kinds of pieces, by the file format's numbers.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
# How SentencePiece writes a space.
SPACE = "▁"


def scored_tokenizer(reader: Any) -> PreTrainedTokenizerFast | None:
    """The tokenizer in a file, None where it is of another kind.

    reader (gguf.GGUFReader): of the file. Raises ValueError for pieces that occur twice."""
    named = _Fields(reader)
    scored = named("model") == "llama" and named("scores") and not named("merges")
    if not scored or named("add_space_prefix", True):
        return None
    pieces: list[str] = named("tokens")
    kinds = named("token_type") or [NORMAL] * len(pieces)
    vocabulary = {piece: at for at, piece in enumerate(pieces)}
    if len(vocabulary) < len(pieces):
        raise ValueError("The tokenizer in the file has pieces that occur twice.")
    scores = {
        piece: score
        for piece, score, kind in zip(pieces, named("scores"), kinds, strict=True)
        if kind == NORMAL
    }
    unknown = named("unknown_token_id", 0)
    tokenizer = Tokenizer(
        BPE(
            vocab=vocabulary,
            merges=merges_of(scores),
            unk_token=pieces[unknown],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_tokens(
        [
            AddedToken(piece, normalized=False, special=kind != USER_DEFINED)
            for piece, kind in zip(pieces, kinds)
            if kind in (UNKNOWN, CONTROL, USER_DEFINED)
        ]
    )
    start = named("bos_token_id")
    if start is not None and named("add_bos_token", True):
        name = pieces[start]
        tokenizer.post_processor = TemplateProcessing(
            single=f"{name} $A",
            pair=f"{name} $A {name}:1 $B:1",
            special_tokens=[(name, start)],
        )
    roles = {"bos": start, "eos": named("eos_token_id"), "unk": unknown}
    roles["pad"] = named("padding_token_id")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        **{f"{role}_token": pieces[at] for role, at in roles.items() if at is not None},
    )


def merges_of(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """All pairs of pieces that make a piece, those first that make the piece with the
    highest score.

    scores: of each piece. Those that no pair makes are characters, or are reached by none."""
    pairs = [
        (score, piece[:at], piece[at:])
        for piece, score in scores.items()
        for at in range(1, len(piece))
        if piece[:at] in scores and piece[at:] in scores
    ]
    pairs.sort(key=lambda pair: -pair[0])
    return [(left, right) for _, left, right in pairs]


class _Fields:
    """The file's fields about its tokenizer, by their names."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def __call__(self, name: str, default: Any = None) -> Any:
        field = self.reader.get_field(f"tokenizer.ggml.{name}")
        return default if field is None else field.contents()
