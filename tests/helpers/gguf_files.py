"""Small .gguf files: a tokenizer of SentencePiece's in llama.cpp's words."""

import io
from typing import Any

import gguf
import sentencepiece

TEXTS = [
    "the film that the actor made in london was on in paris",
    "the actor that the director met in the film moved to london",
    "where can i find the best thai food in paris or in london ?",
    "der film , den die leute in paris sahen , war schön",
    "in 1999 the 2000 people that moved to the town met the actor",
] * 20  # fmt: skip

# Pieces of the user: found before anything is merged.
OWN = ("<b>", "\n", "▁▁")


def trained(*controls: str) -> Any:
    """A SentencePiece model of byte-pair encoding. controls: pieces that no text makes."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=model,
        model_type="bpe",
        vocab_size=380,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        user_defined_symbols=list(OWN),
        control_symbols=list(controls),
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def kind_of(model: Any, at: int) -> gguf.TokenType:
    if model.is_unknown(at):
        return gguf.TokenType.UNKNOWN
    if model.is_control(at):
        return gguf.TokenType.CONTROL
    if model.is_byte(at):
        return gguf.TokenType.BYTE
    own = model.id_to_piece(at) in OWN
    return gguf.TokenType.USER_DEFINED if own else gguf.TokenType.NORMAL


def write_tokenizer(writer: gguf.GGUFWriter, model: Any) -> None:
    """As files have it: pieces with scores and kinds."""
    every = range(model.get_piece_size())
    writer.add_tokenizer_model("llama")
    writer.add_token_list([model.id_to_piece(at) for at in every])
    writer.add_token_scores([model.get_score(at) for at in every])
    writer.add_token_types([kind_of(model, at) for at in every])
    writer.add_bos_token_id(model.bos_id())
    writer.add_eos_token_id(model.eos_id())
    writer.add_unk_token_id(model.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)


def written(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
