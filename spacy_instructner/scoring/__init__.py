"""Spans that are scored, all labels at once: no answer is written."""
