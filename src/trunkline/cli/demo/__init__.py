"""Three services, a typed connection to each, and faults injected in between.

main.py chat.py terminal.py   the services, each with its messages
server.py                     serves all three on one port
wire.py faults.py             the TCP forwarder in between, and the faults
talk.py                       what the connections send and receive
printing.py run.py            the output, and the demo from start to end
"""
