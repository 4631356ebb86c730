"""What a line sends: the outbox, the writer of a link, what is not confirmed yet."""
