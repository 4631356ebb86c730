"""A web page that shows every connection, served by trunkline itself: `dashboard.serve(manager)`.

    async with trunkline.observe.dashboard.serve(manager) as page:
        print(page.url)

It is secure by default: it listens on loopback, requires a random token, changes nothing, answers only to its own host
names (against DNS rebinding) and to pages of its own origin, and limits the number of viewers. It does not show values
of parameters whose names say that they are secret. Without viewers it costs nothing.
"""

from trunkline.observe.dashboard.server import Dashboard, relay, serve

__all__ = ["Dashboard", "relay", "serve"]
