"""The cost of recording a figure, in nanoseconds and in blocks of memory."""
