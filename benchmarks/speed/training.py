"""Training against the Hugging Face Trainer with peft: the same records, batches,
number format, rank and threads."""

import tempfile
import time
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.training import Example
from thinc.api import Adam, fix_random_seed

from spacy_instructner.data.corpora import read_docs
from spacy_instructner.data.sampling import draw
from spacy_instructner.tasks.base import TrainingRecord

from .decoding import NAME, ready
from .measure import Row
from .models import tuned

SENTENCES = 8


def compare(data: Path, name: str, cache: Path, steps: int, times: int) -> list[Row]:
    """Ids of prompts and answers learnt from in a second; padding does not count."""
    base = cache / name / "model-last" / NAME / "model" / "base"
    dtype = ready(tuned(data, name, cache)).hf.dtype
    nlp = spacy.blank("en")
    task = {"@misc": "spacy-instructner.InstructionNER.v1"}
    pipe = nlp.add_pipe(NAME, config={"task": task})
    docs, _ = read_docs(data / name / "train.jsonl.gz", nlp)
    shots = draw(docs, "at-least-k", 10, 0)
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in shots]
    nlp.initialize(lambda: examples)
    batches = [
        [examples[(first + i) % len(examples)] for i in range(SENTENCES)]
        for first in range(0, steps * SENTENCES, SENTENCES)
    ]
    records = [pipe.records(batch) for batch in batches]
    ids = sum(len(r.prefix) + len(r.suffix) + len(r.answer) for b in records for r in b)
    optimizer = Adam(1e-3)
    seconds: dict[str, list[float]] = {"ours": [], "Trainer": []}
    pipe.update(batches[0], sgd=optimizer)
    for _ in range(times):
        begin = time.perf_counter()
        for batch in batches:
            pipe.update(batch, sgd=optimizer)
        seconds["ours"].append(time.perf_counter() - begin)
        seconds["Trainer"].append(trainer(base, dtype, records))
    note = f"{steps} steps of {SENTENCES} sentences, {sum(map(len, records))} records"
    return [
        Row(
            "training",
            "ours",
            "tokens/s",
            [ids / s for s in seconds["ours"]],
            note=note,
        ),
        Row(
            "training",
            "Trainer + peft",
            "tokens/s",
            [ids / s for s in seconds["Trainer"]],
            note="loss on the answers only, padded batches, " + str(dtype)[6:],
        ),
    ]


def trainer(
    base: Path, dtype: torch.dtype, records: list[list[TrainingRecord]]
) -> float:
    """Seconds of training, the model's loading left out."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    fix_random_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base, torch_dtype=dtype)
    model = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
    )

    def collate(batch: list[list[TrainingRecord]]) -> dict[str, torch.Tensor]:
        rows = [r for b in batch for r in b]
        width = max(len(r.prefix) + len(r.suffix) + len(r.answer) for r in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for at, row in enumerate(rows):
            asked = row.prefix + row.suffix
            whole = asked + row.answer
            ids[at, : len(whole)] = torch.tensor(whole)
            mask[at, : len(whole)] = 1
            labels[at, len(asked) : len(whole)] = torch.tensor(row.answer)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    class InOrder(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(records)

        def __getitem__(self, at: int) -> Any:
            return records[at]

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            per_device_train_batch_size=1,  # one of our batches
            num_train_epochs=1,
            learning_rate=1e-3,
            use_cpu=True,
            bf16=dtype == torch.bfloat16,
            remove_unused_columns=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
        )
        run = Trainer(model, settings, data_collator=collate, train_dataset=InOrder())
        begin = time.perf_counter()
        run.train()
        return time.perf_counter() - begin
