"""A base that has learned the task before it sees a few shots.

text_sources.py reads annotated files, and template_texts.py makes texts of templates.
variations.py holds them as plain data and varies them; wording.py says what their labels are
called. corpus.py makes texts that each ask for labels of their own, held_out.py those to
score by. For many sources, span_texts.py reads folders of texts that word_cuts.py cuts into
words, base_lists.py what is known of sources, and base_sources.py says what each text may be
asked for; label_draws.py and held_out_draws.py make texts of them. loop.py learns from texts
in stages that can be interrupted, as checkpoints.py keeps them.
"""
