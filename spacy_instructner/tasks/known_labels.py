"""Words for labels that many data sets and models share: codes, abbreviations and jargon of
the field. Plain words (PERSON, DATE, PRODUCT) are not here, as they say what they mean, but for
two that mean something else in the field: MONEY an amount of it, QUANTITY a measurement.

The labels are those of spaCy's glossary and pipelines, of CoNLL, OntoNotes, ACE, Universal
NER and others, of tools that look for personal data, and of corpora of biology and
medicine. Names and definitions: ours.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownLabel:
    """name: what the label is called in prompts; definition: what it means, "" where the
    name says it all."""

    name: str
    definition: str = ""


# Labels, their name, and what they mean where a reader of the name could not tell.
_TABLE: tuple[tuple[str, str, str], ...] = (
    # People, places, organizations.
    ("PER PERS PRS PS PERSNAME", "person", ""),
    ("ORG ORGA ORGS OG ORGNAME ORGANISATION ORGANISATIONS", "organization", ""),
    ("LOC LOCS LC GEO", "location", ""),
    ("GEOGNAME", "geographical feature", "the name of a river, mountain or region"),
    ("PLACENAME", "place name", ""),
    ("GPE", "country or city", "a country, state, city or town"),
    ("GPE_LOC", "country or city", "a country, state or city as a place"),
    ("GPE_ORG", "government", "a country, state or city that acts"),
    (
        "NORP NRP NAT_REL_POL",
        "nationality or group",
        "a nationality, or a religious or political group",
    ),
    ("FAC", "facility", "a building, airport, road or bridge"),
    ("CORP", "company", ""),
    ("GRP", "group", ""),
    ("DERIV_PER DRV", "derived word", "a word that comes from a name"),
    # Things, works, events, the rest.
    ("PROD PRO", "product", ""),
    ("OBJ", "object", ""),
    ("VEH VEHI", "vehicle", ""),
    ("WEA", "weapon", ""),
    ("EVT EVN EVE", "event", ""),
    ("CW WRK", "creative work", ""),
    ("LANG", "language", ""),
    ("NAT", "natural phenomenon", "a storm, earthquake or other natural phenomenon"),
    ("ANIM", "animal", ""),
    ("CEL", "celestial body", ""),
    ("MYTH", "mythological being", ""),
    ("MISC OTH", "other name", "a name of another kind, such as an event or a work"),
    # Times, amounts.
    ("TIM TIMEX TIMEX3 DATE_TIME", "date or time", ""),
    ("TME TI", "time", ""),
    ("DT", "date", ""),
    ("DUR", "duration", ""),
    ("CARDINAL NUM", "number", ""),
    ("ORDINAL ORD", "ordinal number", "a number in an order, such as first or second"),
    ("PCT PERC", "percentage", ""),
    ("MONEY", "amount of money", "a sum of money with its currency"),
    (
        "QUANTITY",
        "measurement",
        "a number with its unit, such as a weight or a distance",
    ),
    ("QTY QT", "quantity", ""),
    ("AMT", "amount", ""),
    ("MSR", "measurement", ""),
    ("CUR CURR", "currency", ""),
    # Personal data.
    ("FNAME FIRSTNAME GIVENNAME", "first name", ""),
    ("LNAME LASTNAME", "last name", ""),
    ("MIDDLENAME", "middle name", ""),
    ("USERNAME", "user name", ""),
    ("JOBTITLE", "job title", ""),
    ("COMPANYNAME", "company name", ""),
    ("DOB DATEOFBIRTH BIRTHDATE", "date of birth", ""),
    ("EMAILADDRESS", "email address", ""),
    ("PHONENUMBER TELEPHONENUM TEL PHONE_NUM", "phone number", ""),
    ("IP IPV4 IPV6", "ip address", ""),
    ("STREETADDRESS", "street address", ""),
    ("BUILDINGNUM BUILDINGNUMBER", "building number", ""),
    ("ZIPCODE ZIP", "zip code", ""),
    ("SSN US_SSN SOCIAL_NUM", "social security number", ""),
    ("US_ITIN TAX_NUM", "taxpayer number", ""),
    ("US_PASSPORT PASSPORT PASSPORTNUM", "passport number", ""),
    (
        "US_DRIVER_LICENSE DRIVER_LICENSE DRIVERLICENSENUM",
        "driving licence number",
        "",
    ),
    ("US_BANK_NUMBER ACCOUNTNUMBER ACCOUNTNUM", "bank account number", ""),
    ("IBAN IBAN_CODE", "international account number", "the number of a bank account"),
    ("BIC SWIFT SWIFT_CODE", "bank code", "a code that stands for a bank"),
    (
        "CREDIT_CARD CREDITCARDNUMBER CC_NUM",
        "credit card number",
        "",
    ),
    ("CVV CREDITCARDCVV", "card security code", ""),
    ("CRYPTO", "crypto wallet address", ""),
    ("UK_NHS", "health service number", "the number of a patient"),
    ("UK_NINO", "national insurance number", ""),
    ("ID_NUM ID_CARD_NUM", "identification number", ""),
    ("MRN", "medical record number", ""),
    ("VIN VEHICLEVIN", "vehicle identification number", ""),
    ("SKU", "product code", ""),
    # Biology and medicine.
    (
        "GENE_OR_GENE_PRODUCT GGP GENE_PRODUCT",
        "gene or protein",
        "a gene, or a protein or RNA that is made from it",
    ),
    ("SIMPLE_CHEMICAL CHEBI CHEM", "chemical", ""),
    ("CELL_LINE", "cell line", "cells that are bred in a laboratory"),
    ("CL", "cell type", ""),
    ("CELLULAR_COMPONENT", "part of a cell", ""),
    ("GO", "biological process", ""),
    ("SO", "sequence feature", "a part of a DNA or protein sequence"),
    ("TAXON", "species", ""),
    ("ORGANISM_SUBDIVISION", "body region", "a part of a body, such as the head"),
    ("ORGANISM_SUBSTANCE", "body fluid", "a substance in a body, such as blood"),
    (
        "MULTI_TISSUE_STRUCTURE",
        "body structure",
        "a body part that is made of several tissues",
    ),
    (
        "IMMATERIAL_ANATOMICAL_ENTITY",
        "body space",
        "a hollow or a surface of a body",
    ),
    (
        "DEVELOPING_ANATOMICAL_STRUCTURE",
        "embryonic structure",
        "a part of an embryo",
    ),
    (
        "PATHOLOGICAL_FORMATION",
        "diseased structure",
        "a wound or a growth that is not cancer",
    ),
    ("DISEASE_DISORDER DIS", "disease", ""),
    ("SIGN_SYMPTOM", "symptom", ""),
    ("ADE ADR", "side effect", "harm that a drug did"),
    ("SNP", "gene variant", "a change in a gene"),
)


def _folded(label: str) -> str:
    """A label without its case and without what stands between its words."""
    return re.sub(r"[_\-\s]+", "", label.lower())


_KNOWN = {
    _folded(label): KnownLabel(name, definition)
    for labels, name, definition in _TABLE
    for label in labels.split()
}


def known_label(label: str) -> KnownLabel | None:
    """The words for a label, however it is written (Cell_Line, cell-line, CELL LINE);
    None for one that is not in the table."""
    return _KNOWN.get(_folded(label))
