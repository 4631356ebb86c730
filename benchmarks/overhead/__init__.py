"""What it costs to carry messages of many users: a socket for each, or a pool with batches."""
