"""Runs: from a release to a signed manifest, one notebook a step, each in a process and a kernel of its own."""
