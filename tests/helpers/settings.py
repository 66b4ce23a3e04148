"""The component of a pipeline."""

from spacy.language import Language

from spacy_instructner.component import InstructionNERPipe

NAME = "instruction_ner"
WORDS = {"label_names": {"PERSON": "human"}, "label_definitions": {"PLACE": "a town"}}


def pipe_of(nlp: Language) -> InstructionNERPipe:
    pipe = nlp.get_pipe(NAME)
    assert isinstance(pipe, InstructionNERPipe)
    return pipe
