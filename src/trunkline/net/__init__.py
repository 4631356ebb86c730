"""asyncio on top of the protocol: client, server, flow control, keepalive."""
