"""The cost of carrying messages of many users: with a socket for each, or with a pool and batches."""
