"""Where and when a line may dial: endpoints, gates, breakers, the retry budget."""
