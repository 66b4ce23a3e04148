"""A corpus, annotated from files to files.

texts.py reads what there is to annotate, pipelines.py loads what annotates it, chunk.py
annotates one chunk, files.py keeps what is done, run.py goes from chunk to chunk, and
on_ray.py does the same on many machines.
"""
