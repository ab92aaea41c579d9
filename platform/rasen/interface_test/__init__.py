"""The interface test: a pipeline's notebooks on a small sample, and whether what comes out keeps its contract."""
