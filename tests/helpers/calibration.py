"""Texts whose spans have scores."""

TEXTS = [
    "Anna met Bert in Paris and Carl in Rome.",
    "Rome is an old place.",
    "Bert lives in Paris.",
    "Anna and Bert, Anna and Carl.",
    "In Rome.",
    "It is old.",
] * 2
