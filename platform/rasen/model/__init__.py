"""Models: their schema and profile, how one is published, qualified and loaded."""
