"""Three services, typed connections to them, and a fault injector in between.

main.py chat.py terminal.py   the services, each with its messages
server.py                     serves all three on one port
wire.py faults.py             TCP in the middle, and what is done to it
talk.py                       what the connections say
show.py run.py                what is printed, and the demo from start to end
"""
