"""Labels whose words a model may not know."""

from pathlib import Path

import pytest

from helpers.pipelines import MakeNLP
from helpers.training import gold_docs
from spacy_instructner.evaluation.learnability import check_component, is_unclear
from spacy_instructner.models.tokenization import TextEncoder
from spacy_instructner.tasks.known_labels import _TABLE
from spacy_instructner.tasks.labels import default_name
from spacy_instructner.weights.sources import fetch

CODES = (
    "XK12 gpe2 ORGX TYPE1 SKU KPI CVE ICD10 PNR HGVS ACCT LBL TST XYZ TTL EVT GPE NORP "
    "NRP QTY IBAN SSN PII MY_LBL"
).split()
WORDS = (
    "laptop dosage organization nationality company product medication drug disease "
    "symptom treatment anatomy gene protein actor director genre plot cuisine dish "
    "amenity rating hours price title song album artist musician instrument award "
    "conference algorithm metric dataset task method material skill occupation employer "
    "degree university location city country street address email phone currency amount "
    "percentage quantity unit brand model color colour size ingredient vehicle weapon "
    "animal plant statute judge court lawyer petitioner respondent plaintiff defendant "
    "invoice customer supplier malware vulnerability hashtag username password sport team "
    "league stadium airline restaurant allergen antibody enzyme chromosome biomarker "
    "comorbidity hyperparameter immunoglobulin subsidiary timestamp hostname byline "
    "pseudonym CREATIVE_WORK Restaurant_Name product-car RATINGS_AVERAGE address_line_2"
).split()


@pytest.fixture(scope="module")
def own_encoder() -> TextEncoder:
    """Of the default model."""
    from transformers import AutoTokenizer

    return TextEncoder(AutoTokenizer.from_pretrained(fetch().folder))


def test_codes_are_found_and_words_are_not(own_encoder: TextEncoder) -> None:
    def unclear(label: str) -> bool:
        return is_unclear(default_name(label), own_encoder)

    assert [label for label in CODES if not unclear(label)] == []
    assert [label for label in WORDS if unclear(label)] == []


def test_the_words_of_known_labels_are_clear(own_encoder: TextEncoder) -> None:
    names = [name for _, name, _ in _TABLE]
    assert [name for name in names if is_unclear(name, own_encoder)] == []


@pytest.mark.parametrize(
    "word,pieces,unclear",
    [
        ("abcdef", 2, False),
        ("abcde", 2, True),
        ("ab", 1, False),
        ("ab", 2, True),
        ("a1", 1, True),
        ("12", 2, False),
        ("åb", 2, False),
        ("人名", 4, False),
    ],
)
def test_the_rule(word: str, pieces: int, unclear: bool) -> None:
    class Cutting:
        def text(self, text: str) -> tuple[int, ...]:
            return tuple(range(pieces if text == f" {word}" else 1))

    for name in (word, f"plain {word}", f"{word}/plain"):
        assert is_unclear(name, Cutting()) == unclear  # type: ignore[arg-type]


def test_what_was_given_a_name_is_not_judged(make_nlp: MakeNLP, tmp_path: Path) -> None:
    def said(**words: object) -> list[str]:
        nlp = make_nlp(labels=["XK12", "PLACE"], **words)
        found = check_component(nlp, gold_docs(nlp))
        return [each.message for each in found if "may not know" in each.message]

    (message,) = said(label_names={"PLACE": "place"})
    assert message == (
        "The model may not know what these labels mean: XK12 (asked as 'xk12'). Say it in "
        "plain words in `label_names`, as {'XK12': \"words\"}."
    )
    assert said(label_names={"PLACE": "place", "XK12": "model xk12"}) == []
