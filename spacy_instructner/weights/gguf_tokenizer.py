"""What a .gguf file says of its tokenizer: how a text ends, and, where pieces have scores in
place of merges, the whole tokenizer: BPE over the vocabulary of SentencePiece, with byte
fallback, and no space put before a text (Gemma).

    file      '▁Lon' −500   'don' −300   '▁London' −900   …         the higher, the earlier
    merges    … ('▁Lon', 'don') makes '▁London': as early as '▁London' is
    text      "to London" ──► "to▁London" ──► 't' 'o' '▁' 'L' … ──merges──► 'to' '▁London'

transformers has a conversion of its own, which cuts Gemma's texts into two and a half times as
many ids as the model was trained with, and takes more than ten minutes of its 262,144 pieces.
Source: ours, by SentencePiece's rule (the pair that makes the piece with the highest score
is joined first).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, normalizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

# Token types, by the file format's numbers.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
# How SentencePiece writes a space.
SPACE = "▁"
# How chat models end a turn, likeliest first.
TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "</s>")


@dataclass(frozen=True)
class GGUFTokenizerFields:
    """The fields of a file about its tokenizer, by their names behind `tokenizer.`."""

    fields: Mapping[str, Any]

    @classmethod
    def of(cls, path: Path) -> "GGUFTokenizerFields":
        """Of a .gguf file. The file is not kept open."""
        from gguf import GGUFReader

        begin = "tokenizer."
        return cls(
            {
                name.removeprefix(begin): field.contents()
                for name, field in GGUFReader(str(path)).fields.items()
                if name.startswith(begin)
            }
        )

    def __call__(self, name: str) -> Any:
        """What the file says; None where it says nothing."""
        return self.fields.get(name)

    @property
    def pieces(self) -> list[str]:
        return list(self("ggml.tokens") or ())

    @property
    def types(self) -> list[int]:
        """The token type of each piece."""
        return list(self("ggml.token_type") or [NORMAL] * len(self.pieces))


def end_in_file(fields: GGUFTokenizerFields) -> int:
    """The id that ends a text or, in a model that was taught to chat, a turn. Raises
    ValueError where the file does not say."""
    pieces, template = fields.pieces, fields("chat_template")
    if template:
        turn = fields("ggml.eot_token_id")
        said = [each for each in TURN_ENDS if each in template and each in pieces]
        if turn is not None or said:
            return int(turn) if turn is not None else pieces.index(said[0])
    end = fields("ggml.eos_token_id")
    if end is not None:
        return int(end)
    for piece in TURN_ENDS:
        if piece in pieces and fields.types[pieces.index(piece)] == CONTROL:
            return pieces.index(piece)
    raise ValueError("The file does not say with which token a text ends.")


def scored_tokenizer(fields: GGUFTokenizerFields) -> PreTrainedTokenizerFast | None:
    """The tokenizer in a file, None where it is of another kind. Raises ValueError for
    pieces that occur twice, and where there are not as many scores or types as pieces."""
    scores = fields("ggml.scores")
    scored = fields("ggml.model") == "llama" and scores and not fields("ggml.merges")
    if not scored or fields("ggml.add_space_prefix") in (None, True):
        return None
    types = fields.types
    # Those of the user are looked for in the text as it was written.
    pieces = [
        piece.replace(SPACE, " ") if kind == USER_DEFINED else piece
        for piece, kind in zip(fields.pieces, types)
    ]
    if not len(fields.pieces) == len(types) == len(scores):
        raise ValueError(
            f"The tokenizer in the file has {len(fields.pieces)} pieces, but "
            f"{len(scores)} scores and {len(types)} token types."
        )
    vocabulary = {piece: at for at, piece in enumerate(pieces)}
    if len(vocabulary) < len(pieces):
        raise ValueError("The tokenizer in the file has pieces that occur twice.")
    unknown = fields("ggml.unknown_token_id")
    tokenizer = Tokenizer(
        BPE(
            vocab=vocabulary,
            merges=merges_of(
                {
                    piece: score
                    for piece, score, kind in zip(pieces, scores, types)
                    if kind == NORMAL
                }
            ),
            unk_token=None if unknown is None else pieces[unknown],
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
            for piece, kind in zip(pieces, types)
            if kind in (UNKNOWN, CONTROL, USER_DEFINED)
        ]
    )
    return _with_roles(tokenizer, fields, pieces)


def _with_roles(
    tokenizer: Tokenizer, fields: GGUFTokenizerFields, pieces: list[str]
) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers has it: what starts, ends and pads a text."""
    start = fields("ggml.bos_token_id")
    if start is not None and fields("ggml.add_bos_token") in (None, True):
        name = pieces[start]
        tokenizer.post_processor = TemplateProcessing(
            single=f"{name} $A",
            pair=f"{name} $A {name}:1 $B:1",
            special_tokens=[(name, start)],
        )
    ids = {
        "bos_token": start,
        "eos_token": fields("ggml.eos_token_id"),
        "unk_token": fields("ggml.unknown_token_id"),
        "pad_token": fields("ggml.padding_token_id"),
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        chat_template=fields("chat_template"),
        **{role: pieces[at] for role, at in ids.items() if at is not None},
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
