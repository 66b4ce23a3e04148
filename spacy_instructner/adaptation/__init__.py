"""What a component learns beside its training texts: rehearsal, and self-training."""
