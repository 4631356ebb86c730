"""What it costs to record a figure: nanoseconds, and blocks of memory."""
