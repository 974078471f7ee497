"""Device keys: encrypted on disk (Ethereum keystore, version 3), in memory only while they sign.

A P-256 key's file is the same with `"curve": "P-256"` in it, and the device's id as its address.

A keystore may come from anywhere: from other wallets, which spell it in their own ways, or from someone who wants to
hang this program. `sensor.cipher` checks what a password is to be stretched by before it stretches it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from eth_account import Account
from eth_account.signers.local import LocalAccount

from sensetrail.core.canonical import parse_json
from sensetrail.core.primitives import Address, address
from sensetrail.core.signature import P256_ORDER, DeviceKey, P256Key, Secp256k1Key
from sensetrail.core.text import printable
from sensetrail.disk import explained, read_whole, write_new
from sensetrail.errors import DiskError, InputError, KeystoreError, ManifestError
from sensetrail.sensor.cipher import Cipher, MacError

LIMIT = 1 << 20
"""Bytes of a keystore."""
DAMAGED = "restore it from a backup"


class Curve(StrEnum):
    """The curve of a device's key."""

    SECP256K1 = "secp256k1"
    P256 = "P-256"


class Password(str):
    """A password that knows where it came from, so that an error can say so.

    Attributes:
        source: The environment variable; empty for one that was typed.
    """

    __slots__ = ("source",)
    source: str

    def __new__(cls, text: str, source: str = "") -> Password:
        """Take a password.

        Args:
            text: The password.
            source: The environment variable; empty for one that was typed.
        """
        self = super().__new__(cls, text)
        self.source = source
        return self


def create_key(path: Path, password: str, curve: Curve = Curve.SECP256K1) -> Address:
    """Make a new key and write it, encrypted, readable by its owner alone.

    Args:
        path: A file that does not exist yet.
        password: Not empty.
        curve: The key's.

    Returns:
        The device's id.

    Raises:
        KeystoreError: The password is empty.
        InputError: The file exists.
        DiskError: The file cannot be written; nothing is left of it.
    """
    if not password:
        variable = _source(password)
        raise KeystoreError(
            f"{variable} is empty, and an empty password protects nothing"
            if variable
            else "an empty password protects nothing",
            f"set {variable} to a password, or unset it to be asked" if variable else "choose another",
        )
    if curve is Curve.P256:
        key: DeviceKey = P256Key((1 + secrets.randbelow(P256_ORDER - 1)).to_bytes(32, "big"))
    else:
        key = Secp256k1Key(bytes(Account.create().key))
    keystore = {**Account.encrypt(key.secret, _bytes(password)), "address": key.address[2:].lower()}  # type: ignore[arg-type]
    if curve is not Curve.SECP256K1:
        keystore["curve"] = curve.value
    try:
        write_new(path, json.dumps(keystore).encode(), 0o600)
    except FileExistsError as error:
        raise InputError(
            f"there is a key at {path} already", "choose another name: keys are never overwritten"
        ) from error
    return key.address


def key_address(path: Path, ask: Callable[[], str] | None = None) -> Address:
    """Give a keystore's address, without opening it where it says so.

    Args:
        path: The keystore's file.
        ask: Gives the password to open a keystore that does not say its address; None to refuse one.

    Raises:
        KeystoreError: It is no keystore, or does not say its address and is not opened.
    """
    named = _named_address(path, _read(path))
    if named is not None:
        return named
    if ask is None:
        raise KeystoreError(
            f"{path} does not say its address, which this command needs before the key is opened",
            'write it into the file, as "address": "0x..."',
        )
    return open_key(path, ask()).address


def names_of(keys: Mapping[str, Path]) -> dict[Address, str]:
    """Give the names of devices by their addresses. A damaged key file has no address, and is left out.

    Args:
        keys: Each device key's file by the device's name.
    """
    names: dict[Address, str] = {}
    for name, path in keys.items():
        try:
            names[key_address(path)] = printable(name)
        except KeystoreError:
            continue
    return names


def open_key(path: Path, password: str) -> DeviceKey:
    """Open a device's keystore.

    Raises:
        KeystoreError: It is none, is damaged, or the password is wrong.
    """
    keystore = _read(path)
    cipher = Cipher.parse(path, keystore)
    curve = _curve(path, keystore)
    named = _named_address(path, keystore)
    try:
        secret = cipher.open(_bytes(password))
    except MacError as error:
        raise _wrong_password(path, password) from error
    try:
        key: DeviceKey = P256Key(secret) if curve is Curve.P256 else Secp256k1Key(secret)
        own = key.address
    except ValueError as error:
        raise KeystoreError(f"what {path} holds is no {curve} key", DAMAGED) from error
    if named not in (None, own):
        raise KeystoreError(f"{path} names the address {named}, but holds the key of {own}", DAMAGED)
    return key


def open_account(path: Path, password: str) -> LocalAccount:
    """Open the keystore of an account that sends transactions: secp256k1.

    Raises:
        KeystoreError: It is none, is of another curve, or the password is wrong.
    """
    require_account(path)
    key = cast(Secp256k1Key, open_key(path, password))
    account: LocalAccount = Account.from_key(key.secret)
    return account


def key_curve(path: Path) -> Curve:
    """Give the curve of a keystore's key; the file stays closed.

    Raises:
        KeystoreError: It is no keystore, or of an unknown curve.
    """
    return _curve(path, _read(path))


def require_account(path: Path) -> None:
    """Make sure that a keystore's key can send transactions; the file stays closed.

    Raises:
        KeystoreError: It is no keystore, or of another curve.
    """
    if key_curve(path) is Curve.P256:
        raise KeystoreError(
            f"{path} holds a P-256 key, which signs batches but no transactions",
            "send batches: `sensetrail post` without --own; pay from another account",
        )


def _read(path: Path) -> dict[str, Any]:
    """Read a keystore's JSON; its uppermost keys in lower case, as old Geth and others spell them in capitals."""
    try:
        with explained(path):
            path.lstat()
        data = read_whole(path, LIMIT)
    except DiskError as error:
        if isinstance(error.__cause__, FileNotFoundError) and not path.is_symlink():
            raise KeystoreError(
                f"there is no key at {path}", "check the path; a device's key is made with `sensetrail device new`"
            ) from error
        raise KeystoreError(error.what, error.to_do) from error
    if not data.strip(b" \t\r\n\0"):
        raise KeystoreError(
            f"{path} is empty: the disk was full, or the machine went down, as it was written",
            f"{DAMAGED}; if the device was never registered, delete the file and make its key again",
        )
    try:
        value = parse_json(_text(data).encode(), str(path))
    except UnicodeDecodeError as error:
        raise KeystoreError(f"{path} is not a keystore: it is not UTF-8 text", DAMAGED) from error
    except ManifestError as error:
        raise KeystoreError(error.what, DAMAGED) from error
    keystore = {name.lower(): entry for name, entry in value.items()} if isinstance(value, dict) else {}
    if "crypto" not in keystore:
        raise KeystoreError(f"{path} is not an Ethereum keystore", "give a version 3 keystore file")
    if len(keystore) != len(value):
        raise KeystoreError(f"{path} says a field twice, in capitals and without", DAMAGED)
    return keystore


def _text(data: bytes) -> str:
    """Decode a keystore; editors and shells on Windows write a byte order mark, or UTF-16."""
    return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")


def _named_address(path: Path, keystore: dict[str, Any]) -> Address | None:
    """Give the address that a keystore names; None where it names none, which it need not."""
    named = keystore.get("address")
    if named is None or named == "":
        return None
    try:
        if not isinstance(named, str):
            raise InputError("an address is text", "")
        digits = named.strip().lower().removeprefix("0x")
        return address("0x" + digits)
    except InputError as error:
        raise KeystoreError(f"{path} names {str(named)[:80]!r}, which is no address", DAMAGED) from error


def _curve(path: Path, keystore: dict[str, Any]) -> Curve:
    named = keystore.get("curve")
    try:
        return Curve.SECP256K1 if named is None else Curve(named)
    except ValueError as error:
        raise KeystoreError(
            f"{path} holds a key of the curve {str(named)[:80]!r}, which this version does not know",
            f"use a device with one of the curves {' and '.join(Curve)}",
        ) from error


def _wrong_password(path: Path, password: str) -> KeystoreError:
    variable = _source(password)
    if not password:
        hint = f"{variable} is empty: set it, or unset it to be asked" if variable else "it was empty: type it"
    elif password != password.strip():
        hint = f"{variable or 'what was typed'} begins or ends with white space or a line end: is that part of it?"
    elif variable:
        hint = f"check {variable}, or unset it to be asked"
    else:
        hint = "type it again"
    return KeystoreError(f"the password {f'in {variable}' if variable else 'typed'} does not open {path}", hint)


def _source(password: str) -> str:
    return password.source if isinstance(password, Password) else ""


def _bytes(password: str) -> bytes:
    """Give the bytes that were typed or set, also where the terminal's are not UTF-8."""
    return password.encode("utf-8", "surrogateescape")
