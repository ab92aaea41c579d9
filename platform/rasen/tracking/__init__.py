"""What is known of runs: their records, keys, signatures, manifests, and the index over them."""
