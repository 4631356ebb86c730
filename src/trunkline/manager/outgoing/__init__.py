"""What a connection sends: the outbox, the writer of a link, what is not confirmed yet."""
