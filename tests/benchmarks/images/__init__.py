"""Real images for pretraining and benchmarks, out of packages that anybody can fetch."""
