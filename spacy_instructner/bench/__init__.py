"""The instrument: few-shot results by data set, protocol, k, seed and method.

matrix.py says what is to be measured, cells.py measures a cell and keeps it as a file,
scores.py is what can be said of predicted spans, report.py tells what the files hold."""
