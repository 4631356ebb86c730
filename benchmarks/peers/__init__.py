"""The measured Python programs: servers, clients and broadcasters, each untuned and with its fastest interface."""
