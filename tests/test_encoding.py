import random

import pytest
from conftest import SENTENCES, byte_level_tokenizer, unigram_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from spacy_instructner.models.tokenization import TextEncoder


def sentencepiece_bpe_tokenizer() -> PreTrainedTokenizerFast:
    """As Llama 2's: BPE over text whose spaces a normalizer marks."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )


TOKENIZERS = {
    "byte-level": byte_level_tokenizer,
    "unigram": unigram_tokenizer,
    "sentencepiece-bpe": sentencepiece_bpe_tokenizer,
}


@pytest.fixture(params=TOKENIZERS, scope="module")
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    return TextEncoder(TOKENIZERS[request.param]())


def test_words_say_the_text(encoder: TextEncoder) -> None:
    """The ids of the words, side by side, are the text again."""
    words = ["Anna", "'s", "place", " ", "in", "Rome", "."]
    spaces = [False, False, True, True, True, True, False]
    encoded = encoder.words(words, spaces, longest=50)
    assert encoded.first[3] == encoded.following[3] == ()
    plain = "".join(encoder.tokenizer.convert_ids_to_tokens(encoded.text))
    assert plain.replace("\u2581", " ").replace("Ġ", " ") == " Anna's place in Rome."
    # A word that begins a span stands as after a space, one that follows none
    # does not.
    assert encoded.first[6] == encoder.text(" .")
    assert encoded.following[6] == encoder.text(".")
    assert encoder.text(".") != encoder.text(" .")


def test_a_word_is_written_the_same_wherever_it_stands(encoder: TextEncoder) -> None:
    one = encoder.words(["Anna", "lives"], [False, True], longest=50)
    other = encoder.words(["Bert", "and", "Anna"], [False, True, True], longest=50)
    assert one.first[0] == other.first[2] == other.following[2]


def test_a_word_over_the_limit_gets_no_ids(encoder: TextEncoder) -> None:
    encoded = encoder.words(["Anna", "x" * 60], [False, True], longest=8)
    assert encoded.first[0] and encoded.first[1] == encoded.following[1] == ()


def test_no_text_writes_a_control_token(encoder: TextEncoder) -> None:
    rng = random.Random(0)
    names = [t.content for t in encoder.tokenizer.added_tokens_decoder.values()]
    parts = [*names, "</s>", "<s>", "<|end|>", "<", "/", "s", ">", "|", " ", "a", "é"]
    for _ in range(2000):
        text = "".join(rng.choice(parts) for _ in range(rng.randint(1, 6)))
        assert encoder.control.isdisjoint(encoder.text(text)), text
    assert encoder.control


def test_control_tokens_are_recognised_in_templates() -> None:
    encoder = TextEncoder(byte_level_tokenizer())
    turn = encoder.tokenizer.convert_tokens_to_ids("<|turn|>")
    assert encoder.template("<|turn|>Anna<|turn|>") == (
        turn,
        *encoder.text("Anna"),
        turn,
    )
    assert turn not in encoder.text("<|turn|>Anna<|turn|>")


def test_what_a_tokenizer_cannot_write_is_refused_in_templates_alone() -> None:
    encoder = TextEncoder(unigram_tokenizer())
    for write in (encoder.template, encoder.written):
        with pytest.raises(ValueError, match="cannot write '@'.*such as letters and"):
            write("Anna @ Rome")
    assert encoder.unknown in encoder.text("Anna @ Rome")
    # A byte-level tokenizer writes anything.
    byte_level = TextEncoder(byte_level_tokenizer())
    assert byte_level.written("Anna @ Rome") == byte_level.text("Anna @ Rome")


def test_frame_is_what_the_tokenizer_adds() -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = unigram_tokenizer()
    assert TextEncoder(tokenizer).start == TextEncoder(tokenizer).end == ()
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    assert TextEncoder(tokenizer).end == (tokenizer.eos_token_id,)


def test_a_tokenizer_that_marks_no_spaces_is_refused() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(ValueError, match="marks spaces"):
        TextEncoder(PreTrainedTokenizerFast(tokenizer_object=tokenizer))
