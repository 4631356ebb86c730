"""To see every connection: logs for those who have nothing."""
