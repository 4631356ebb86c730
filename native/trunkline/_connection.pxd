# wsproto's Connection: events in, events out, and the states between.

from trunkline._frame_protocol cimport FrameProtocol


cdef class BaseConnection:
    """One end of an open connection."""

    cdef readonly bint client            # our role
    cdef public object _state            # a wsproto ConnectionState
    cdef readonly FrameProtocol _proto
    cdef list _losses                    # events of transports that ended: they come first

    # Receive
    cdef object next_event(self)         # None: there is none now

    # Send
    cdef bytes _send_message(self, event)
    cdef bytes _send_close(self, event)


cdef class Events:
    """An iteration over the events of a connection."""

    cdef BaseConnection _connection      # None once it is over
    cdef bint _begun                     # the losses were returned
