"""Microbenchmarks of the core's parts by pytest-benchmark, each beside wsproto where that has the like.

`python -m benchmarks.micro` runs them on the core as it stands and on that of another commit, in turns, and compares
the two.
"""
