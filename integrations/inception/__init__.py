"""An external recommender for INCEpTION. Source: ours, after INCEpTION's description of
that interface (developer guide, external recommender)."""
