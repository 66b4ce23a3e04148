"""A recipe for Prodigy."""
