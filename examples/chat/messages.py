"""The messages of the chat: the client sends Enter and Say, the server the others."""

import msgspec


class Enter(msgspec.Struct, frozen=True, tag="enter"):
    """The first message on a link, which asks for a name. The reply is an Entered with the same id."""

    name: str
    id: int | None = None


class Say(msgspec.Struct, frozen=True, tag="say"):
    text: str


class Entered(msgspec.Struct, frozen=True, tag="entered"):
    """You are in the room, under this name."""

    id: int
    name: str
    here: list[str]


class Said(msgspec.Struct, frozen=True, tag="said"):
    who: str
    text: str


class Left(msgspec.Struct, frozen=True, tag="left"):
    who: str


Heard = Entered | Said | Left
Asked = Enter | Say
