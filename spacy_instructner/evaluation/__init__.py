"""How good predictions are, and how far scores can be trusted.

metrics.py measures spans as plain data. predicted_texts.py and protocols.py get them from a
pipeline. support_set.py trains a pipeline on few shots, cross_fitting.py judges scores with
it. learnability.py tells what a component could not learn.
"""
