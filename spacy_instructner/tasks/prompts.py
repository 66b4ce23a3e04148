"""The prompts of InstructionNER: fixed pieces, and what is filled in. Source: ours; the
wording stands in `instruction_ner.py`."""

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ..decoding.answers import Ids, Words
from .base import Encoder, Entity
from .labels import LabelSet
from .templates import Part


@dataclass(frozen=True)
class Prompt:
    """A prompt's constant part, and the rest. text: where the text (its last copy)
    begins among the ids of both; types: where the name of each label does, None where
    the prompt has it not."""

    prefix: Ids
    suffix: Ids
    text: int
    types: Tuple[Optional[int], ...]


class Prompts:
    """The prompts of all tasks for one tokenizer and one label set.

    templates (Mapping[str, List[Part]]): each task's prompt, cut at its fields.
    separator (Ids): between the {entities} of a prompt.
    """

    def __init__(
        self,
        templates: Mapping[str, List[Part]],
        encoder: Encoder,
        labels: LabelSet,
        separator: Ids,
    ) -> None:
        self.start = encoder.start
        self.separator = separator
        # Literals are encoded once, not for every text.
        self.templates: Dict[str, List[Tuple[str, Ids]]] = {
            name: [(field, encoder.template(literal)) for field, literal in parts]
            for name, parts in templates.items()
        }
        # The names, and where each begins among them.
        self.options, self.option_places = self._options(encoder, labels)

    @staticmethod
    def _options(encoder: Encoder, labels: LabelSet) -> Tuple[Ids, List[int]]:
        ids: List[int] = []
        places: List[int] = []
        for at, name in enumerate(labels.names):
            if at:
                ids.extend(encoder.text(","))
            places.append(len(ids))
            ids.extend(encoder.text(" " + name))
        return tuple(ids), places

    def make(
        self,
        task: str,
        words: Words,
        entities: Sequence[Entity] = (),
        shown: Ids = (),
    ) -> Prompt:
        """A task's prompt about a window.

        entities: those that the prompt names; shown: what stands in front of it."""
        prefix: List[int] = [*self.start, *shown]
        text = 0
        options: Optional[int] = None
        suffix: List[int] = []
        ids = prefix
        for field, literal in self.templates[task]:
            if field in ("sentence", "entities"):
                ids = suffix
            before = len(prefix) + len(suffix)
            if field == "sentence":
                text = before
                ids.extend(words.text)
            elif field == "entities":
                for at, (start, end, _) in enumerate(entities):
                    ids.extend(self.separator if at else ())
                    span = Words(words.first[start:end], words.following[start:end])
                    ids.extend(span.text)
            elif field == "options":
                options = before
                ids.extend(self.options)
            else:
                ids.extend(literal)
        types = [None if options is None else options + at for at in self.option_places]
        return Prompt(tuple(prefix), tuple(suffix), text, tuple(types))
