"""What a line receives: messages, the inbox, answers to requests."""
