"""A machine-learning backend for Label Studio. Source: ours, after Label Studio's own
client of such backends (label_studio/ml/api_connector.py, 1.23)."""
