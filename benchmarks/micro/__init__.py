"""Microbenchmarks of parts of the core with pytest-benchmark, and of wsproto's counterparts where there are any.

`python -m benchmarks.micro` runs them on the current core and on that of another commit, in turns, and compares the
two.
"""
