"""A page to try a pipeline on: annotate, correct, train, see the change.

session.py is the pipeline behind it, finetune.py trains a copy of it on corrections,
app.py speaks HTTP, and page/ is what a browser shows.

Or an API for other programs: annotator.py is the pipeline behind it, batching.py its queue, service.py
starts and stops both, api.py speaks HTTP, and api_*.py are what stands before and around it.
"""
