"""The project's own benchmark: `python -m bench --help`, described in docs/benchmarks.md."""
