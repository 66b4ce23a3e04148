"""Words for labels that many data sets share."""

import random
import re
from collections import Counter

import pytest
from spacy.glossary import GLOSSARY

from spacy_instructner.tasks.known_labels import _KNOWN, _TABLE, known_label
from spacy_instructner.tasks.labels import default_name, make_label_set, with_own_words

LABELS = [label for labels, _, _ in _TABLE for label in labels.split()]
# Of spaCy's glossary: words of the language, which stay as they are, and the others.
PLAIN = (
    "PERSON FACILITY PRODUCT EVENT WORK_OF_ART LAW LANGUAGE DATE TIME PERCENT"
).split()
CODES = (
    "NORP FAC ORG GPE LOC ORDINAL CARDINAL PER MISC EVT PROD DRV GPE_LOC GPE_ORG MONEY "
    "QUANTITY"
).split()
SETS = {
    "OntoNotes": "CARDINAL DATE EVENT FAC GPE LANGUAGE LAW LOC MONEY NORP ORDINAL ORG "
    "PERCENT PERSON PRODUCT QUANTITY TIME WORK_OF_ART",
    "CoNLL": "PER LOC ORG MISC",
    "Universal NER": "PER LOC ORG OTH",
    "ACE": "PER ORG GPE LOC FAC VEH WEA",
    "GMB": "geo gpe per org tim art nat eve",
    "Norwegian": "DRV EVT GPE_LOC GPE_ORG LOC MISC ORG PER PROD",
    "Swedish": "EVN LOC MSR OBJ ORG PRS TME WRK",
    "Korean": "DT LC OG PS QT TI",
    "Polish": "date geogName orgName persName placeName time",
    "Romanian": "DATETIME EVENT FACILITY GPE LANGUAGE LOC MONEY NAT_REL_POL NUMERIC "
    "ORDINAL ORG PERIOD PERSON PRODUCT QUANTITY WORK_OF_ART",
    "MultiNERD": "PER ORG LOC ANIM BIO CEL DIS EVE FOOD INST MEDIA MYTH PLANT TIME VEHI",
    "MultiCoNER": "PER LOC CORP GRP PROD CW",
    "Presidio": "CREDIT_CARD CRYPTO DATE_TIME EMAIL_ADDRESS IBAN_CODE IP_ADDRESS NRP "
    "LOCATION PERSON PHONE_NUMBER MEDICAL_LICENSE URL US_BANK_NUMBER US_DRIVER_LICENSE "
    "US_ITIN US_PASSPORT US_SSN UK_NHS UK_NINO",
    "BC5CDR": "CHEMICAL DISEASE",
    "JNLPBA": "DNA RNA PROTEIN CELL_TYPE CELL_LINE",
    "CRAFT": "GGP SO TAXON CHEBI GO CL",
    "BioNLP13CG": "AMINO_ACID ANATOMICAL_SYSTEM CANCER CELL CELLULAR_COMPONENT "
    "DEVELOPING_ANATOMICAL_STRUCTURE GENE_OR_GENE_PRODUCT IMMATERIAL_ANATOMICAL_ENTITY "
    "MULTI-TISSUE_STRUCTURE ORGAN ORGANISM ORGANISM_SUBDIVISION ORGANISM_SUBSTANCE "
    "PATHOLOGICAL_FORMATION SIMPLE_CHEMICAL TISSUE",
}


def words_of(*labels: str, **given: dict[str, str]) -> list[tuple[str, str]]:
    """The name and the definition of each label, with the table."""
    found = make_label_set(
        labels, given.get("names", {}), given.get("definitions", {}), True
    )
    return list(zip(found.names, found.definitions))


# The table.


def test_each_label_stands_in_the_table_once() -> None:
    assert len(_KNOWN) == len(LABELS)
    assert [label for label in LABELS if known_label(label) is None] == []


def test_the_words_are_short_and_writable_by_every_tokenizer() -> None:
    for _, name, definition in _TABLE:
        assert re.fullmatch(r"[a-z]+( [a-z]+){0,3}", name), name
        assert re.fullmatch(r"([A-Za-z][A-Za-z, ]*[A-Za-z])?", definition), definition
        assert len(definition.split()) <= 12, definition


def test_the_table_changes_something_for_each_of_its_labels() -> None:
    for label in LABELS:
        words = known_label(label)
        assert words and (words.name != default_name(label) or words.definition), label


def test_the_glossary_of_spacy_is_known() -> None:
    assert set(PLAIN + CODES) <= set(GLOSSARY)
    for label in CODES:
        assert words_of(label)[0][0] != default_name(label)
    assert words_of(*PLAIN) == [(default_name(label), "") for label in PLAIN]


@pytest.mark.parametrize("labels", SETS.values(), ids=SETS)
def test_no_label_of_a_usual_set_keeps_its_code(labels: str) -> None:
    found = make_label_set(labels.split(), {}, {}, True)
    for label, name in zip(found.labels, found.names):
        known = known_label(label)
        assert name == (known.name if known else default_name(label))


@pytest.mark.parametrize(
    "label", ["Cell_Line", "cell-line", "CELL LINE", "cellLine", "CELLLINE"]
)
def test_a_label_is_known_however_it_is_written(label: str) -> None:
    assert known_label(label) == known_label("CELL_LINE") is not None


@pytest.mark.parametrize("label", ["B-ORG", "ORGX", "PERSON", "laptop", "_", ""])
def test_other_labels_are_not_known(label: str) -> None:
    assert known_label(label) is None


# What is given comes first.


def test_without_the_setting_nothing_is_known() -> None:
    found = make_label_set(LABELS, {"LOC": "spot"}, {"LOC": "where"})
    assert list(found.names) == [
        "spot" if label == "LOC" else default_name(label) for label in LABELS
    ]
    assert set(found.definitions) == {"", "where"}


def test_what_is_given_comes_first() -> None:
    name, meaning = words_of("GPE")[0]
    assert (name, bool(meaning)) == ("country or city", True)
    # A definition goes with the table's name; the table's definition with no other name.
    assert words_of("GPE", definitions={"GPE": "x"}) == [(name, "x")]
    assert words_of("GPE", names={"GPE": "realm"}) == [("realm", "")]
    both = {"names": {"GPE": "realm"}, "definitions": {"GPE": "x"}}
    assert words_of("GPE", **both) == [("realm", "x")]
    # The table's own name, given, is a given name.
    assert words_of("GPE", names={"GPE": name}) == [(name, "")]
    # Nothing but spaces is nothing given.
    empty = {"names": {"GPE": " "}, "definitions": {"GPE": "\n"}}
    assert words_of("GPE", **empty) == [(name, meaning)]


def test_labels_may_bring_their_words() -> None:
    labels = {
        "GPE": {"name": "realm", "definition": ""},
        "NORP": {"definition": "a people"},
        "FAC": "",
        "MISC": {"name": "", "definition": ""},
    }
    found = with_own_words(labels, {}, {}, True)
    fac, misc = known_label("FAC"), known_label("MISC")
    assert fac and misc and fac.definition and misc.definition
    assert found.names == ("realm", "nationality or group", fac.name, misc.name)
    assert found.definitions == ("", "a people", fac.definition, misc.definition)


@pytest.mark.parametrize(
    "definitions,defined", [({}, False), ({"GPE": " "}, False), ({"GPE": "x"}, True)]
)
def test_definitions_of_the_table_are_not_given(
    definitions: dict[str, str], defined: bool
) -> None:
    assert make_label_set(["GPE", "NORP"], {}, definitions, True).defined == defined


# Labels that would be called alike.


@pytest.mark.parametrize(
    "labels,names,called",
    [
        (["PER", "PERSON"], {}, ["per", "person"]),
        (["LOCATION", "LOC"], {}, ["location", "loc"]),
        (["PER", "PERS", "ORG"], {}, ["per", "pers", "organization"]),
        (["PER", "AGENT"], {"AGENT": "Person"}, ["per", "Person"]),
        # Without the table, these could not be told apart.
        (["PER", "AGENT"], {"AGENT": "per"}, ["person", "per"]),
        # A name that one gives up may be what another is called.
        (["GPE", "country_or_city"], {}, ["gpe", "country or city"]),
    ],
)
def test_what_would_be_called_alike_keeps_its_own_name(
    labels: list[str], names: dict[str, str], called: list[str]
) -> None:
    for order in (1, -1):
        found = words_of(*labels[::order], names=names)
        assert [name for name, _ in found] == called[::order]
        # The definition goes with the name.
        assert all(not meaning for _, meaning in found)


def test_what_is_given_up_may_be_another_ones_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One after the other: c is called a, a is called b, and b is plain."""
    from spacy_instructner.tasks import labels
    from spacy_instructner.tasks.known_labels import KnownLabel

    table = {"c": KnownLabel("a", "x"), "a": KnownLabel("b", "y")}
    monkeypatch.setattr(labels, "known_label", table.get)
    assert words_of("c", "a") == [("a", "x"), ("b", "y")]
    assert words_of("c", "a", "b") == [("c", ""), ("a", ""), ("b", "")]


@pytest.mark.parametrize("labels", [["PER", "per"], ["GPE", "gpe", "ORG"]])
def test_what_is_alike_without_the_table_is_refused(labels: list[str]) -> None:
    with pytest.raises(ValueError, match="both called '(per|gpe)'"):
        words_of(*labels)


def test_the_table_makes_no_labels_invalid() -> None:
    rng = random.Random(0)
    pool = [*LABELS, *(name.replace(" ", "_") for _, name, _ in _TABLE)]
    fell_back = 0
    for _ in range(2000):
        labels = rng.sample(sorted(set(pool)), rng.randint(1, 30))
        if max(Counter(map(default_name, labels)).values()) > 1:
            continue
        names = {label: rng.choice(pool).lower() for label in rng.sample(labels, 1)}
        try:
            make_label_set(labels, names, {})
        except ValueError:
            continue
        found = make_label_set(labels, names, {}, True)
        assert len(set(found.names)) == len(labels)
        fell_back += any(
            known_label(label) and name == default_name(label) and label not in names
            for label, name in zip(labels, found.names)
        )
    assert fell_back > 100
