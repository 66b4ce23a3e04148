"""A base that has learned the task before it sees a few shots.

text_sources.py reads annotated files, and template_texts.py makes texts of templates.
variations.py holds them as plain data and varies them; wording.py says what their labels are
called. corpus.py makes texts that each ask for labels of their own, held_out.py those to
score by. loop.py learns from them in stages that can be interrupted, as checkpoints.py keeps
them.
"""
