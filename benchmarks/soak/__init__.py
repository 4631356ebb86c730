"""Leaks in long runs: memory, descriptors, tasks and objects over messages, reconnects and floods."""
