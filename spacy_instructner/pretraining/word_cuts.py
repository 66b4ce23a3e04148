"""How texts of any language are cut into words. Source: ours."""

import re
from collections.abc import Callable

import spacy
from spacy.language import Language

# From a stretch of text to its words, in order and without white space.
WordCutter = Callable[[str], list[str]]

# spaCy's tokenizers of these languages need packages of their own.
WITHOUT_TOKENIZER = ("ja", "ko", "th", "vi")
# Runs of Chinese characters, Hiragana, Katakana, and other letters and digits; any other
# character alone.
RUN = re.compile(
    "[\u3400-\u9fff々〆]+|[\u3041-\u309f]+|[\u30a1-\u30ffー]+|"
    r"[^\W\u3041-\u30ff\u3400-\u9fff々〆ー]+|[^\s]"
)


def word_cutter(language: str, nlp: Language) -> WordCutter:
    """What cuts texts of a language: the tokenizer of a pipeline for its own language,
    spaCy's tokenizer for others. Where that would need another package (Japanese, Korean,
    Thai, Vietnamese), texts are cut where the script changes.

    language (str): its code, such as "de".
    nlp (Language): the pipeline.
    RETURNS (WordCutter): the words of a text. Raises ImportError for a language that
        spaCy does not know."""
    if language != nlp.lang and language in WITHOUT_TOKENIZER:
        return RUN.findall
    tokenizer = (nlp if language == nlp.lang else spacy.blank(language)).tokenizer

    def cut(text: str) -> list[str]:
        return [token.text for token in tokenizer(text) if not token.is_space]

    return cut
