"""Device keys: encrypted on disk (Ethereum keystore, version 3), in memory only while they sign."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from sensetrail.core.primitives import Address, address
from sensetrail.errors import InputError, KeystoreError


def create_key(path: Path, password: str) -> Address:
    """Make a new secp256k1 key and write it, encrypted, readable by its owner alone.

    Args:
        path: A file that does not exist yet.
        password: Not empty.

    Returns:
        The key's address: the device's id.

    Raises:
        KeystoreError: The password is empty.
        InputError: The file exists.
    """
    if not password:
        raise KeystoreError("an empty password protects nothing", "choose another")
    account: LocalAccount = Account.create()
    text = json.dumps(account.encrypt(password))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise InputError(
            f"there is a key at {path} already", "choose another name: keys are never overwritten"
        ) from error
    with os.fdopen(handle, "w") as file:
        file.write(text)
    return address(account.address)


def key_address(path: Path) -> Address:
    """Give a keystore's address without opening it.

    Raises:
        KeystoreError: It is no keystore.
    """
    try:
        return address("0x" + str(_read(path)["address"]).removeprefix("0x"))
    except (KeyError, InputError) as error:
        raise KeystoreError(f"{path} names no address", "restore it from a backup") from error


def open_key(path: Path, password: str) -> LocalAccount:
    """Open a keystore.

    Raises:
        KeystoreError: It is none, or the password is wrong.
    """
    keystore = _read(path)
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(keystore, password))
    except (ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise KeystoreError(
            f"the password does not open {path}",
            "check SENSETRAIL_PASSWORD or type it again; if it is right, the file is damaged",
        ) from error
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
