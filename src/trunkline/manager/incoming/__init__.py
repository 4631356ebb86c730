"""What a connection receives: messages, the inbox, replies to requests."""
