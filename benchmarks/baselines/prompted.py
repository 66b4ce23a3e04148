"""spacy-llm's NER task over the same weights: nothing is learned, the support set gives
the labels."""

from collections.abc import Sequence
from typing import Any

import torch
from spacy.language import Language
from spacy.tokens import Doc
from transformers import AutoModelForCausalLM, AutoTokenizer

from spacy_instructner.fewshot.runs import Annotate
from spacy_instructner.weights.memory import bound_memory
from spacy_instructner.weights.precision import choose_dtype
from spacy_instructner.weights.sources import DEFAULT_MODEL, locate

from ..speed import rivals


def fit(
    nlp: Language,
    support: Sequence[Doc],
    seed: int,
    name: str = DEFAULT_MODEL,
    task: str = "spacy.NER.v3",
    new_tokens: int = 64,
) -> Annotate:
    """task: of spacy-llm; new_tokens: where an answer is cut off.

    Raises ModuleNotFoundError without spacy-llm."""
    folder = locate(name).folder
    bound_memory()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    dtype = choose_dtype("auto", torch.device("cpu"))
    model: Any = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=dtype)

    def generate(prompts: list[str]) -> list[str]:
        answers = []
        for prompt in prompts:
            message = [{"role": "user", "content": prompt}]
            ids = tokenizer.apply_chat_template(
                message, add_generation_prompt=True, return_tensors="pt"
            )
            with torch.inference_mode():
                out = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=new_tokens,
                    do_sample=False,
                    pad_token_id=tokenizer.eos_token_id,
                )
            said = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
            answers.append(said)
        return answers

    labels = sorted({ent.label_ for doc in support for ent in doc.ents})
    tagger = rivals.spacy_llm(labels, generate, task, vocab=nlp.vocab)
    if tagger is None:
        raise ModuleNotFoundError(
            "spacy-llm is missing: python -m pip install --no-deps spacy-llm==0.7.4"
        )
    return lambda docs: tagger(list(docs))
