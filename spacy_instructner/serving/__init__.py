"""A page to try a pipeline on: annotate, correct, train, see the change.

session.py is the pipeline behind it, finetune.py trains a copy of it on corrections,
app.py speaks HTTP, and page/ is what a browser shows.
"""
