"""Instructions a message, counted by callgrind: figures that do not depend on what else the machine does."""
