"""Device keys: encrypted on disk (Ethereum keystore, version 3), in memory only while they sign.

A P-256 key's file is the same with `"curve": "P-256"` in it, and the device's id as its address.
"""

from __future__ import annotations

import json
import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from sensetrail.core.primitives import Address, address
from sensetrail.core.signature import P256_ORDER, DeviceKey, P256Key, Secp256k1Key
from sensetrail.errors import InputError, KeystoreError


class Curve(StrEnum):
    """The curve of a device's key."""

    SECP256K1 = "secp256k1"
    P256 = "P-256"


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
    """
    if not password:
        raise KeystoreError("an empty password protects nothing", "choose another")
    if curve is Curve.P256:
        key: DeviceKey = P256Key((1 + secrets.randbelow(P256_ORDER - 1)).to_bytes(32, "big"))
    else:
        key = Secp256k1Key(bytes(Account.create().key))
    keystore = {**Account.encrypt(key.secret, password), "address": key.address[2:].lower()}
    if curve is not Curve.SECP256K1:
        keystore["curve"] = curve.value
    text = json.dumps(keystore)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InputError(
            f"there is a key at {path} already", "choose another name: keys are never overwritten"
        ) from error
    with os.fdopen(handle, "w") as file:
        file.write(text)
    return key.address


def key_address(path: Path) -> Address:
    """Give a keystore's address without opening it.

    Raises:
        KeystoreError: It is no keystore.
    """
    try:
        return address("0x" + str(_read(path)["address"]).removeprefix("0x"))
    except (KeyError, InputError) as error:
        raise KeystoreError(f"{path} names no address", "restore it from a backup") from error


def open_key(path: Path, password: str) -> DeviceKey:
    """Open a device's keystore.

    Raises:
        KeystoreError: It is none, or the password is wrong.
    """
    keystore = _read(path)
    try:
        curve = Curve(keystore.get("curve", Curve.SECP256K1))
        secret = bytes(Account.decrypt(keystore, password))
        key: DeviceKey = P256Key(secret) if curve is Curve.P256 else Secp256k1Key(secret)
        own = key.address
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise KeystoreError(
            f"the password does not open {path}",
            "check SENSETRAIL_PASSWORD or type it again; if it is right, the file is damaged",
        ) from error
    if "address" in keystore and key_address(path) != own:
        raise KeystoreError(f"{path} names another key's address than its own", "restore it from a backup")
    return key


def open_account(path: Path, password: str) -> LocalAccount:
    """Open the keystore of an account that sends transactions: secp256k1.

    Raises:
        KeystoreError: It is none, is of another curve, or the password is wrong.
    """
    key = open_key(path, password)
    if not isinstance(key, Secp256k1Key):
        raise KeystoreError(
            f"{path} holds a P-256 key, which signs batches but no transactions",
            "send batches: `sensetrail post` without --own; pay from another account",
        )
    account: LocalAccount = Account.from_key(key.secret)
    return account


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise KeystoreError(f"there is no key at {path}", "make one: sensetrail device new NAME") from error
    except (OSError, ValueError) as error:
        raise KeystoreError(f"{path} is not a keystore: {error}", "restore it from a backup") from error
    if not isinstance(value, dict) or "crypto" not in value:
        raise KeystoreError(f"{path} is not an Ethereum keystore", "give a version 3 keystore file")
    return value
