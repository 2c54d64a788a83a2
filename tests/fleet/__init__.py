"""A simulated fleet: one process that answers as many agents, for benchmarks and tests."""
