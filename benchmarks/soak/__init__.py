"""What a long run leaves behind: memory, descriptors, tasks and objects over messages, reconnects and floods."""
