"""A base that has learned the task before it sees a few shots.

variety.py makes texts that each ask for labels of their own out of annotated data;
checkpoints.py and loop.py learn from them, in stages that can be interrupted.
"""
