"""wsproto's Connection, compiled: bytes to events as they are iterated, events to bytes, and the states between.

Theory of operation. Events are instances of wsproto's own classes, made without their `__init__`: a frozen dataclass
sets each field by a call of `object.__setattr__`, which costs ten times what the frame does. `blank` makes the object,
and `set_field`, which is that function in C, sets the same fields in the same order. Nobody can tell the difference.

Each step of an iteration makes one event, and nothing is parsed ahead: if you send, receive or stop between two steps,
the state is that of the last event.
"""

cimport cython
from cpython.list cimport PyList_GET_SIZE

from trunkline._frame_protocol cimport FrameProtocol
from trunkline._kernels cimport TL_BINARY, TL_CLOSE, TL_PING, TL_PONG, TL_TEXT
from trunkline._frame_writer import close_payload

from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

cdef extern from *:
    """
    /* As `object.__new__(cls)`. */
    static inline PyObject *tl_blank(PyObject *cls, PyObject *nothing) {
        return ((PyTypeObject *)cls)->tp_new((PyTypeObject *)cls, nothing, NULL);
    }
    """
    object blank "tl_blank"(object cls, tuple nothing)

cdef extern from "Python.h":
    int set_field "PyObject_GenericSetAttr"(object event, object name, object value) except -1

cdef object OPEN = ConnectionState.OPEN
cdef object REMOTE_CLOSING = ConnectionState.REMOTE_CLOSING
cdef object LOCAL_CLOSING = ConnectionState.LOCAL_CLOSING
cdef object ENDED = ConnectionState.CLOSED
cdef object CLIENT = ConnectionType.CLIENT
cdef object ABNORMAL = CloseReason.ABNORMAL_CLOSURE
cdef object A_TEXT = TextMessage, A_BINARY = BytesMessage, A_PING = Ping, A_PONG = Pong, A_CLOSE = CloseConnection
cdef object A_MESSAGE = Message
cdef tuple NOTHING = ()


cdef object a_message(cls, data, bint frame_finished, bint message_finished):
    """Make an event of a message, without its __init__."""
    cdef object event = blank(cls, NOTHING)
    set_field(event, "data", data)
    set_field(event, "frame_finished", frame_finished)
    set_field(event, "message_finished", message_finished)
    return event


cdef object a_control(cls, payload):
    """Make an event of a ping or pong."""
    cdef object event = blank(cls, NOTHING)
    set_field(event, "payload", payload)
    return event


cdef object a_close(code, reason):
    """Make an event of a close frame."""
    cdef object event = blank(A_CLOSE, NOTHING)
    set_field(event, "code", code)
    set_field(event, "reason", reason)
    return event


cdef class BaseConnection:
    """The compiled half of `trunkline.protocol.Connection`, which documents it."""

    # What is raised if you ask for something that the state forbids.
    _error = LocalProtocolError

    def __cinit__(self, *arguments, **named):
        self._state = OPEN
        self._losses = []
        self._proto = FrameProtocol.__new__(FrameProtocol)

    def __init__(self, connection_type, extensions=None, trailing_data=b"", *, max_size=None):
        self.client = connection_type is CLIENT
        self._proto = FrameProtocol(self.client, extensions, max_size=max_size)
        self.receive_data(trailing_data)

    @property
    def state(self):
        """The state of the connection."""
        return self._state

    @property
    def max_size(self):
        """The bytes that a message may have; None for no limit."""
        return self._proto.max_size

    def send(self, event):
        """Return the bytes to write for an event.

        Raises:
            LocalProtocolError: if the event cannot be sent in this state.
            TypeError: if a message is neither text nor bytes-like, or changes its type half-way.
            ValueError: if a ping or pong has more than 125 bytes.
        """
        cdef object kind = type(event)
        if self._state is OPEN:
            if kind is A_BINARY or kind is A_TEXT:
                return self._send_message(event)
            if kind is A_PING:
                return self._proto.frame(TL_PING, event.payload, True)
            if kind is A_PONG:
                return self._proto.frame(TL_PONG, event.payload, True)
            if isinstance(event, A_MESSAGE):
                return self._send_message(event)
            if isinstance(event, A_PING):
                return self._proto.frame(TL_PING, event.payload, True)
            if isinstance(event, A_PONG):
                return self._proto.frame(TL_PONG, event.payload, True)
        if (self._state is OPEN or self._state is REMOTE_CLOSING) and isinstance(event, A_CLOSE):
            return self._send_close(event)
        raise self._error(f"Event {event} cannot be sent in state {self._state}.")

    cdef bytes _send_message(self, event):
        """Return the frame of a message, or of a part of one."""
        return self._proto.message(event.data, event.message_finished)

    cdef bytes _send_close(self, event):
        """Return the close frame, and change the state."""
        cdef bytes data = self._proto.frame(TL_CLOSE, close_payload(event.code, event.reason), True)
        self._state = ENDED if self._state is REMOTE_CLOSING else LOCAL_CLOSING
        return data

    def receive_data(self, data):
        """Take bytes that were read (bytes-like), or None if the transport has ended (code 1006, RFC 6455 7.1.5).

        Raises:
            LocalProtocolError: if the connection is already closed.
        """
        if data is None:
            self._losses.append(a_close(ABNORMAL, None))
            self._state = ENDED
        elif self._state is OPEN or self._state is LOCAL_CLOSING:
            self._proto.feed(data)
        elif self._state is ENDED:
            raise self._error("Connection already closed.")

    def events(self):
        """Iterate over the events that the received bytes mean. You may stop: the next iteration goes on from there."""
        cdef Events events = Events.__new__(Events)
        events._connection = self
        return events

    cdef object next_event(self):
        """Return the next event; None if there is none."""
        cdef FrameProtocol proto = self._proto
        cdef object data = proto.take()
        if data is None:
            return a_close(proto.code, proto.fault) if proto.has_failed() else None
        if proto.opcode == TL_BINARY:
            return a_message(A_BINARY, data, proto.frame_finished, proto.message_finished)
        if proto.opcode == TL_TEXT:
            return a_message(A_TEXT, data, proto.frame_finished, proto.message_finished)
        if proto.opcode == TL_PING:
            return a_control(A_PING, data)
        if proto.opcode == TL_PONG:
            return a_control(A_PONG, data)
        # As in wsproto, even if the transport had ended before the close frame was read.
        self._state = ENDED if self._state is LOCAL_CLOSING else REMOTE_CLOSING
        return a_close(proto.code, data)


@cython.final
cdef class Events:
    """Iterates over the events of a connection. Like a generator, it is over once it has found none."""

    def __iter__(self):
        return self

    def __next__(self):
        cdef BaseConnection connection = self._connection
        cdef object event
        if connection is None:
            raise StopIteration
        if not self._begun:
            if PyList_GET_SIZE(connection._losses):
                return connection._losses.pop(0)
            self._begun = True
        try:
            event = connection.next_event()
        except BaseException:
            self._connection = None
            raise
        if event is None:
            self._connection = None
            raise StopIteration
        return event

    def send(self, value):
        """Return the next event; the value is ignored."""
        return next(self)

    def throw(self, kind, value=None, traceback=None):
        """End the iteration, and raise this exception."""
        self._connection = None
        if isinstance(kind, type):
            kind = value if isinstance(value, kind) else kind() if value is None else kind(value)
        raise kind if traceback is None else kind.with_traceback(traceback)

    def close(self):
        """End the iteration."""
        self._connection = None
