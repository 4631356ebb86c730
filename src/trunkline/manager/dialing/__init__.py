"""Where and when to dial: endpoints, gates, breakers and the retry budget."""
