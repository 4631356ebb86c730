"""What a chat says: the client Enter and Say, the server the rest."""

import msgspec


class Enter(msgspec.Struct, frozen=True, tag="enter"):
    """The first message on a line: may I be called this? Answered by Entered with the same id."""

    name: str
    id: int | None = None


class Say(msgspec.Struct, frozen=True, tag="say"):
    text: str


class Entered(msgspec.Struct, frozen=True, tag="entered"):
    """You are in, under this name."""

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
