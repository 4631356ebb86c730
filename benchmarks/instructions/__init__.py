"""Instructions for each message, counted by callgrind: figures that other work on the machine does not change."""
