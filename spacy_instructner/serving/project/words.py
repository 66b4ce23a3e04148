"""Where the words of texts begin and end, as a pipeline cuts them. Source: ours."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from spacy.language import Language
from spacy.util import get_lang_class

from ...char_spans import CharSpan
from ...locks import Lock

T = TypeVar("T")


class WordCutter:
    """The tokenizer of a pipeline, with a vocabulary of its own: that of the pipeline
    forgets words after each text, whoever else reads it."""

    def __init__(self, nlp: Language) -> None:
        own: Any = get_lang_class(str(nlp.lang))
        config = {
            "nlp": {"lang": nlp.lang, "tokenizer": nlp.config["nlp"]["tokenizer"]}
        }
        self.nlp: Language = own.from_config(config)
        self.nlp.max_length = nlp.max_length
        if hasattr(nlp.tokenizer, "to_bytes"):
            self.nlp.tokenizer.from_bytes(nlp.tokenizer.to_bytes())
        self._lock = Lock()

    def read(self, act: Callable[[Language], T]) -> T:
        """What an act makes with the tokenizer; one at a time."""
        with self._lock:
            return act(self.nlp)

    def words(self, text: str) -> list[tuple[int, int]]:
        """The start and end of each word, in characters."""
        doc = self.read(lambda nlp: nlp.make_doc(text))
        return [(t.idx, t.idx + len(t)) for t in doc if not t.is_space]

    def whole(self, text: str, spans: Sequence[CharSpan]) -> list[CharSpan]:
        """The spans that begin and end with words."""
        if not spans:
            return []
        words = self.words(text)
        starts, ends = {start for start, _ in words}, {end for _, end in words}
        return [span for span in spans if span[0] in starts and span[1] in ends]
