"""Entities by the characters of their text: plain data. Source: ours."""

# start, end and label of an entity; start and end count characters of the text, end is
# exclusive.
CharSpan = tuple[int, int, str]
# The same with its score, which is None where no score is known.
ScoredCharSpan = tuple[int, int, str, float | None]
