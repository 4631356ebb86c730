"""The Python programs that are measured: servers, clients and broadcasters, each untuned, on its fastest way."""
