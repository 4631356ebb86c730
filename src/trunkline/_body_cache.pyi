from typing import Final, final

__pyx_capi__: Final[dict[str, object]]  # what the other compiled modules import

@final
class BodyCache: ...

@final
class Room: ...
