"""The few-shot instrument: F1 by data set, protocol, k, seed and method.

grid.py reads what to measure; draws.py draws the texts of a run, runs.py measures it, and
study.py keeps it as a line of one file. tables.py and report.py say in Markdown what a
file holds."""
