"""How fast tokenguard is, beside what it cannot beat and beside its peers: `python -m benchmarks`, or `make bench`."""
