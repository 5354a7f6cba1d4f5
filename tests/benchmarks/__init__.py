"""Benchmarks, run by hand: they fetch real images, and take time."""
