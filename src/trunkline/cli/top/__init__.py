"""`trunkline top`: a program's connections as a live table in the terminal, from its dashboard's feed.

view.py    the rows as the feed tells them, in an order, without those that were searched away
table.py   a screen full of them
keys.py    what is typed meanwhile
run.py     the command: connects, comes back when the program does
"""

from trunkline.cli.top.run import add, top

__all__ = ["add", "top"]
