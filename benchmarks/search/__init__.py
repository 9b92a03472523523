"""Samplers compared over problems and seeds: `python -m benchmarks.search --help`."""
