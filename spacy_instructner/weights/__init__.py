"""From the name of a model to a Hugging Face model in memory."""
