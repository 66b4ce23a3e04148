"""A corpus, annotated from files to files.

texts.py reads the texts, pipelines.py loads the pipeline, piped.py annotates texts of
which some may fail, chunk.py annotates one chunk, output_folder.py keeps what is done,
run.py goes from chunk to chunk, and on_ray.py does the same on many machines.
distillation.py makes training data of what was annotated. entities.py reads entities and
scores off a Doc, and displacy_page.py draws them.
"""
