"""`python -m spacy instructner collect`"""

from pathlib import Path

import spacy
from typer import Argument, Exit, Option
from wasabi import msg

from ..formats.outputs import check_output, write_docs
from . import app
from ._printing import print_label_counts
from ._reading import ENCODING, FORMATS, read_annotated


@app.command("collect")
def collect_cli(
    annotated_path: Path = Argument(
        ..., help="A folder that `annotate --format spacy` wrote",
        exists=True, file_okay=False),
    output_path: Path = Argument(
        ..., help="The folder for train.spacy and dev.spacy", file_okay=False),
    gold_path: Path | None = Option(
        None, "--gold", help=f"Texts that people annotated, to be learned, too: {FORMATS}",
        exists=True, dir_okay=False),
    exclude: Path | None = Option(
        None, "--exclude", "-x",
        help="A file whose texts must be in neither, such as the test set",
        exists=True, dir_okay=False),
    dev_share: float = Option(
        0.1, "--dev-share", help="Share of the texts that dev.spacy gets"),
    seed: int = Option(0, "--seed", "-s", help="Seed of the division"),
    lang: str = Option(
        "en", "--lang", "-l", help="The language of the pipeline that is to be trained"),
    encoding: str = ENCODING,
) -> None:  # fmt: skip
    """Collect what a pipeline annotated, as training data of another pipeline: knowledge
    distillation by pseudo-labels."""
    from ..corpus.distillation import annotated_texts, student_texts

    train_path, dev_path = output_path / "train.spacy", output_path / "dev.spacy"
    try:
        nlp = spacy.blank(lang)
        for path in (train_path, dev_path):
            check_output(path, gold_path, exclude)
        check_output(output_path, annotated_path)
        gold = read_annotated(gold_path, nlp, encoding) if gold_path else []
        barred = read_annotated(exclude, nlp, encoding) if exclude else []
        texts = annotated_texts(annotated_path, nlp.vocab)
        found = student_texts(texts, gold, barred, dev_share, seed)
    except (ImportError, OSError, ValueError) as error:
        msg.fail("Cannot collect the texts", str(error))
        raise Exit(1) from error
    write_docs(found.train, train_path)
    write_docs(found.dev, dev_path)
    print_label_counts(found.train, train_path)
    print_label_counts(found.dev, dev_path)
    msg.info(
        f"{found.gold} texts were annotated by people, and are all in {train_path.name}. Left "
        f"out: {found.excluded} excluded texts, {found.repeated} with the words of another."
    )
