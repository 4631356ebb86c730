"""A page that shows every connection, served by trunkline itself: `dashboard.serve(manager)`.

    async with trunkline.observe.dashboard.serve(manager) as page:
        print(page.url)

Secure as it comes: it listens on loopback, wants a random token, shows and does nothing else, answers only to names of
its own (against DNS rebinding) and to pages of its own origin, and bounds its viewers. Values of parameters whose names
say that they are secret are not shown. A viewer costs nothing while nobody looks.
"""

from trunkline.observe.dashboard.server import Dashboard, relay, serve

__all__ = ["Dashboard", "relay", "serve"]
