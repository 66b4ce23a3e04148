"""The instrument: few-shot results by data set, protocol, k, seed and method.

matrix.py says what is to be measured, cells.py measures a cell and keeps it as a file,
scores.py is what can be said of predicted spans. report.py puts together what the files
hold, as plain data (page.py): tables.py and figures.py what was measured, budget.py and
origins.py what it took and where, published.py what others have measured, examples.py
texts. markdown.py and webpage.py write it down, with the plots of plots.py."""
