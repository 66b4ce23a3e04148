"""A page to try a pipeline on: annotate, correct, train, see the change.

served.py is the pipeline behind it, learning.py trains another one on corrections,
web.py speaks HTTP, and page/ is what a browser shows.
"""
