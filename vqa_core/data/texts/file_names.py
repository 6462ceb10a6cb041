"""Names that a file or folder can't have on some systems."""

import os
import re

_DEVICES = re.compile(r"con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[1-9¹²³]", re.IGNORECASE)
_MARKS = re.compile(r'[<>:"|?*\x00-\x1f]')


def windows_refuses(name: str) -> bool:
    """Whether Windows takes a name for a device or a stream, changes it or refuses it: `CON.jpg`, `a.`, `12:30.png`."""
    stem = name.partition(".")[0].rstrip(" ")
    return bool(_DEVICES.fullmatch(stem) or _MARKS.search(name)) or name.endswith((" ", "."))


def is_refused(name: str) -> bool:
    """Whether this system can't have a file or folder of that name."""
    return os.name == "nt" and windows_refuses(name)
