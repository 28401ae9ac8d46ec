"""What the benchmarks of the dry run's stream are made of."""
