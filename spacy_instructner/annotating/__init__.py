"""A corpus, annotated from files to files.

texts.py reads what there is to annotate, chunk.py annotates one chunk of it, files.py
keeps what is done, and run.py goes from chunk to chunk.
"""
