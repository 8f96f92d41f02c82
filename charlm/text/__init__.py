"""Text in, ids out: vocabularies, corpora, splits and streams, and the baselines that a model has to beat."""
