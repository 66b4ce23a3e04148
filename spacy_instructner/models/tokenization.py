"""Text to token ids, piece by piece, so that no text can write a control token.

One function makes the ids of a piece, for prompts, training targets and the
grammar alike; a whole answer string is never tokenized. Source: ours.
"""

from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerFast

from ..decoding.answers import Ids, TokenizedWords
from ..locks import Lock

# U+2581, how SentencePiece writes a space.
SPACE = "\u2581"
MAX_CACHED_WORDS = 200_000
# Signs offered in place of those that a tokenizer has not.
SAFE = ".,:;-()[]"


class TextEncoder:
    """Encodes words, label words and template pieces with one tokenizer.

    tokenizer (PreTrainedTokenizerFast): a fast tokenizer; byte-level BPE
        (GPT-2, Llama 3, SmolLM, Qwen, BART) or SentencePiece as Unigram or BPE
        (T5, Llama 2, Gemma).
    Raises ValueError for a tokenizer of another kind.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self._lock = Lock()
        backend = tokenizer.backend_tokenizer
        kinds = repr(backend.pre_tokenizer)
        vocab = tokenizer.get_vocab()
        self._byte_level = "ByteLevel" in kinds
        if not self._byte_level and not any(SPACE in token for token in vocab):
            raise ValueError(
                f"The tokenizer {type(tokenizer).__name__} marks spaces neither as "
                "byte-level BPE nor as SentencePiece does; use a model with one of "
                "these tokenizers (Llama, SmolLM, Qwen, GPT-2, T5, BART, Gemma …)."
            )
        unknown = tokenizer.unk_token_id
        added = set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)
        # Ids that no text may write. The unknown token is not among them: it
        # controls nothing, and an emoji may have no other id.
        self.unknown = unknown
        self.control = frozenset(added - {unknown})
        normalizer = backend.normalizer
        self._prepends = normalizer is not None and normalizer.normalize_str(
            "a"
        ).startswith(SPACE)
        self.start, self.end = self._frame()
        self._cache: dict[str, Ids] = {}

    def _frame(self) -> tuple[Ids, Ids]:
        """What the tokenizer puts before and after an input of its own accord."""
        plain = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        framed = self.tokenizer("a")["input_ids"]
        for at in range(len(framed) - len(plain) + 1):
            if framed[at : at + len(plain)] == plain:
                return tuple(framed[:at]), tuple(framed[at + len(plain) :])
        return (), ()

    def template(self, text: str) -> Ids:
        """Ids of a piece of a template. Templates are trusted: control tokens
        (those of a chat format, say) are recognised in them.

        Raises ValueError for one that the tokenizer cannot write."""
        if not text:
            return ()
        ids: list[int] = []
        # SentencePiece tokenizers would put a space of their own in front.
        for part, special in self._split_special(text):
            ids.extend([special] if special is not None else self.written(part))
        return tuple(ids)

    def written(self, text: str) -> Ids:
        """Ids of a text that must not be lost, such as a label's words.

        Raises ValueError for one that the tokenizer cannot write."""
        ids = self.text(text)
        if self.unknown is None or self.unknown not in ids:
            return ids
        signs = [sign for sign in text if self.unknown in self.text(sign)] or [text]
        safe = [sign for sign in SAFE if self.unknown not in self.text(sign)]
        raise ValueError(
            f"The model's tokenizer cannot write {signs[0]!r}, which stands in {text!r}"
            ", a part of the task's templates or of a label's words. Write it with "
            f"other signs, such as letters and {' '.join(safe)}."
        )

    def _split_special(self, text: str) -> list[tuple[str, "int | None"]]:
        parts: list[tuple[str, int | None]] = [(text, None)]
        names = sorted(
            (
                (token.content, index)
                for index, token in self.tokenizer.added_tokens_decoder.items()
                if index in self.control
            ),
            key=lambda item: -len(item[0]),
        )
        for name, index in names:
            if name and name in text:
                parts = [
                    piece
                    for part, special in parts
                    for piece in (
                        [(part, special)]
                        if special is not None
                        else _cut_at(part, name, index)
                    )
                ]
        return parts

    def text(self, text: str) -> Ids:
        """Ids of any text, alone; a leading space belongs to it."""
        cache = self._cache
        if text not in cache:
            self._encode([text], cache)
        return cache[text]

    def words(
        self, words: Sequence[str], spaces: Sequence[bool], longest: int
    ) -> TokenizedWords:
        """Encode a text, word by word.

        words: the words' texts; whitespace only for a whitespace token.
        spaces: whether each word has whitespace before it.
        longest: a word of more ids than this is passed over: it gets none.
        """
        first = ["" if word.isspace() else " " + word for word in words]
        following = [
            "" if word.isspace() else (" " + word if space else word)
            for word, space in zip(words, spaces)
        ]
        # Another thread may fill it meanwhile, or begin a new one.
        cache = self._cache
        if len(cache) > MAX_CACHED_WORDS:
            cache = self._cache = {}
        missing = {t for t in (*first, *following) if t and t not in cache}
        self._encode(sorted(missing), cache)
        cache[""] = ()
        kept = [
            len(cache[one]) <= longest and len(cache[other]) <= longest
            for one, other in zip(first, following)
        ]
        return TokenizedWords(
            first=tuple(cache[t] if k else () for t, k in zip(first, kept)),
            following=tuple(cache[t] if k else () for t, k in zip(following, kept)),
        )

    def decode(self, ids: Ids) -> str:
        """What ids say, control tokens included."""
        with self._lock:
            text: str = self.tokenizer.decode(ids)
        return text

    def _encode(self, texts: Iterable[str], cache: dict[str, Ids]) -> None:
        texts = list(texts)
        if not texts:
            return
        for text, ids in zip(texts, self._tokenize(texts)):
            if not self.control.isdisjoint(ids):
                # The text spells a control token: no single character does.
                ids = [i for part in self._tokenize(list(text)) for i in part]
            cache[text] = tuple(i for i in ids if i not in self.control)

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        if self._byte_level:
            # A tokenizer is set up anew for every call of it.
            with self._lock:
                encoded = self.tokenizer(
                    texts, add_special_tokens=False, split_special_tokens=True
                )
            return list(encoded["input_ids"])
        backend = self.tokenizer.backend_tokenizer
        rows = []
        for text in texts:
            # The pre-tokenizer would put a space in front of every text, also
            # of one that follows no space: ask the model below it.
            lead = SPACE if text.startswith(" ") else ""
            body = text[1:] if lead else text
            if backend.normalizer is not None:
                body = backend.normalizer.normalize_str(body)
                if self._prepends and body.startswith(SPACE):
                    body = body[1:]
            text = lead + body
            tokens = backend.model.tokenize(text.replace(" ", SPACE))
            rows.append([token.id for token in tokens])
        return rows


def _cut_at(text: str, name: str, index: int) -> list[tuple[str, "int | None"]]:
    pieces: list[tuple[str, int | None]] = []
    parts = text.split(name)
    for at, part in enumerate(parts):
        if at:
            pieces.append((name, index))
        if part:
            pieces.append((part, None))
    return pieces
