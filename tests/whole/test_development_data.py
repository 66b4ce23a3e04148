"""Development data and paths that a config names are read, or refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.util import load_config, load_model_from_config
from thinc.api import Config

import spacy_instructner.cli  # noqa: F401
from helpers.pipelines import MakeNLP
from helpers.project import CONFIGS
from helpers.shipped_configs import BASES, OURS, STEPS, good, run
from helpers.training import gold_docs


@pytest.mark.parametrize("name", OURS)
def test_development_data_is_read_or_refused(
    small: Callable[[str], Path],  # noqa: F811
    tmp_path: Path,
    name: str,
) -> None:
    done = run("train", small(name), "--paths.dev", tmp_path / "none.spacy")
    assert done.exit_code == 1
    if name in BASES:
        assert "`paths.dev` is " in str(done.exception) + done.output
        assert "nothing in this config reads it" in str(done.exception)
    else:
        assert "none.spacy" in str(done.exception)


@pytest.mark.parametrize("name", ["fewshot.cfg", "zeroshot.cfg"])
def test_development_data_is_what_is_scored(
    small: Callable[[str], Path],  # noqa: F811
    tmp_path: Path,
    name: str,
) -> None:
    nlp = spacy.blank("en")
    docs = [*gold_docs(nlp), nlp("Anna"), nlp("Only here.")]
    for doc in docs:
        doc.set_ents(list(doc.ents), default="outside")
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    config = load_config(small(name), overrides={"paths.exclude": None})
    for dev in (str(tmp_path / "dev.spacy"), None):
        config["paths"]["dev"] = dev
        loaded = load_model_from_config(config)
        corpora = spacy.util.registry.resolve(loaded.config.interpolate()["corpora"])
        own, support = (
            [example.text for example in corpora[name](loaded)]
            for name in ("dev", "train")
        )
        assert 3 <= len(support) <= 4
        # All of it, in order; without any, the support set, as ever.
        assert own == ([doc.text for doc in docs] if dev else support)
    # fmt: off
    demonstrations = good(
        "train", small(name), "--paths.dev", tmp_path / "dev.spacy",
        "--training.max_steps", STEPS, "--training.eval_frequency", STEPS,
    )
    # fmt: on
    assert "ENTS_F" in demonstrations


def test_paths_that_nothing_reads_are_refused(make_nlp: MakeNLP) -> None:
    nlp = make_nlp()
    nlp.initialize()
    nlp.config["corpora"].clear()
    for name in ("train", "dev", "exclude", "definitions"):
        nlp.config["paths"][name] = "some/file"
        with pytest.raises(ValueError, match=f"`paths.{name}` is 'some/file', but"):
            nlp.initialize()
        nlp.config["corpora"][f"of_{name}"] = {"path": f"${{paths.{name}}}"}
        nlp.initialize()
    # Written out, it is read as well; other names are the user's own.
    nlp.config["corpora"].clear()
    nlp.config["corpora"]["mine"] = {"path": "some/file"}
    nlp.config["paths"]["mine"] = "another"
    nlp.initialize()


def test_the_shipped_configs_read_all_their_paths() -> None:
    for path in CONFIGS:
        text = path.read_text()
        config = Config().from_str(text, interpolate=False)
        unread = {name for name in config["paths"] if f"${{paths.{name}}}" not in text}
        # spaCy's defaults, which a base does not read, and refuses.
        assert unread <= ({"train", "dev"} if path.name in BASES else set()), path
