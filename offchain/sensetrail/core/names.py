"""The one rule for names: of devices in reading files and commands, and of files and folders in the workspace.

A name is shown in terminals, written into CSV files and used as a file name, so it must be safe in all three places.
Two names that look the same must be the same: names are normalised (Unicode NFC), and have no invisible characters.
"""

from __future__ import annotations

import unicodedata

from sensetrail.core.text import is_visible, printable
from sensetrail.errors import InputError

MAX_LENGTH = 64
"""Characters."""
MAX_BYTES = 250
"""UTF-8 bytes: a file system takes 255, and `.json` is five of them."""


def device_name(text: str) -> str:
    """Take a name that comes from outside.

    Args:
        text: From a command, a reading file or the workspace.

    Returns:
        The name, in Unicode's composed form (NFC).

    Raises:
        InputError: It cannot be a name; says why.
    """
    name = unicodedata.normalize("NFC", text)
    fault = _fault(name)
    if fault is not None:
        raise InputError(
            f"{_short(text)} cannot be a name: {fault}",
            f"use 1 to {MAX_LENGTH} visible characters, no / or \\, and no dot or space at the beginning",
        )
    return name


def new_device_name(text: str) -> str:
    """Take a name for a new device: as `device_name`, but an address's prefix is refused.

    Raises:
        InputError: It cannot be a new device's name; says why.
    """
    name = device_name(text)
    if name[:2].lower() == "0x":
        raise InputError(
            f"{_short(text)} cannot be a device's name: commands take what begins with 0x as an address",
            "choose a name that does not begin with 0x",
        )
    return name


def plain_text(value: str, option: str) -> str:
    """Take an option's text that is to be written into a file, or hashed.

    Args:
        value: As the shell gave it. Bytes that are not UTF-8 reach Python as lone surrogates.
        option: The option's name, for the message.

    Raises:
        InputError: It cannot be written as UTF-8.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{option} {_short(value)} is not UTF-8 text", "type it in a terminal that is set to UTF-8"
        ) from error
    return value


def _fault(name: str) -> str | None:
    """Say what is wrong with a name; None for nothing."""
    hidden = next((sign for sign in name if not is_visible(sign)), None)
    if not name:
        return "it is empty"
    if hidden is not None:
        return f"it contains {_describe(hidden)}"
    if len(name) > MAX_LENGTH:
        return f"it has {len(name)} characters"
    if len(name.encode()) > MAX_BYTES:
        return f"it takes {len(name.encode())} bytes, and a file's name holds {MAX_BYTES}"
    if name != name.strip():
        return "it begins or ends with a space"
    if name.startswith("."):
        return "it begins with a dot"
    if "/" in name or "\\" in name:
        return "it contains / or \\"
    return None


def _describe(sign: str) -> str:
    code = f"U+{ord(sign):04X}"
    if 0xD800 <= ord(sign) < 0xE000:
        return "bytes that are not UTF-8"
    name = unicodedata.name(sign, "")
    return f"the invisible character {code}" + (f" ({name.lower()})" if name else "")


def _short(text: str) -> str:
    shown = printable(text)
    return repr(shown) if len(shown) <= 80 and shown == text else f"'{shown[:80]}{'...' if len(shown) > 80 else ''}'"
