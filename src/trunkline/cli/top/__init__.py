"""`trunkline top`: a program's connections as a live table in the terminal, from its dashboard's feed.

view.py                 rows from the feed, sorted and searched
table.py                the screen
keys.py                 what each key does
terminal.py console.py  reading keys on POSIX and on Windows
run.py                  the command: connects, and reconnects when the program returns
"""

from trunkline.cli.top.run import add, top

__all__ = ["add", "top"]
