"""The encryption in an Ethereum keystore, version 3: a password, stretched by scrypt or PBKDF2, opens AES-128-CTR.

Rules, each checked before the password is stretched:

1. The version is 3, as a number or as text, or is left out.
2. The cipher is aes-128-ctr, its initial counter 16 bytes, its ciphertext 32.
3. There is a MAC of 32 bytes: without it no one could tell a wrong password, and a wrong key would pass for the key.
4. The stretching takes at most `MEMORY` bytes and a bounded time, so that no file can hang this program.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher as Aes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from sensetrail.core.primitives import keccak256
from sensetrail.errors import KeystoreError

MEMORY = 1 << 30
"""The most bytes that scrypt may take: its 128 * n * r."""
SCRYPT_WORK = 1 << 25
"""The most that its n * r * p may be: some ten seconds. Common keystores have 2^20 to 2^23."""
PBKDF2_ROUNDS = 30_000_000
"""The most rounds: some ten seconds. Common keystores have 2^18 to 10^6."""
SALT_LIMIT = 1 << 10
KEY_BYTES = (32, 64)
"""How much is derived: the first 16 bytes are the AES key, the next 16 go into the MAC."""
RESTORE = "restore it from a backup, or export the key again from the wallet that made the file"


class MacError(ValueError):
    """The password is wrong: what it gives does not fit the keystore's MAC."""


@dataclass(frozen=True, slots=True)
class Cipher:
    """A keystore's encrypted key, and how a password opens it.

    Attributes:
        path: The keystore's file.
        derive: Stretches a password.
        counter: AES-CTR's first counter block, 16 bytes.
        ciphertext: The encrypted key, 32 bytes.
        mac: keccak256 of the stretched password's second 16 bytes and the ciphertext.
    """

    path: Path
    derive: Callable[[bytes], bytes]
    counter: bytes
    ciphertext: bytes
    mac: bytes

    @classmethod
    def parse(cls, path: Path, keystore: dict[str, Any]) -> Cipher:
        """Check a keystore's encryption, rules 1 to 4.

        Args:
            path: The keystore's file, for messages.
            keystore: Its JSON; the uppermost keys in lower case.

        Raises:
            KeystoreError: It breaks a rule; says which.
        """
        _require_version(path, keystore)
        fields = _Fields(path, "its crypto", keystore["crypto"])
        kdf = fields.text("kdf").lower()
        parameters = fields.inner("kdfparams")
        cipher = fields.text("cipher").lower()
        if cipher != "aes-128-ctr":
            raise KeystoreError(f"{path} is encrypted with {cipher[:40]!r}; only aes-128-ctr is read", RESTORE)
        if kdf == "scrypt":
            derive = _scrypt(parameters)
        elif kdf == "pbkdf2":
            derive = _pbkdf2(parameters)
        else:
            raise KeystoreError(
                f"{path} stretches its password with {kdf[:40]!r}; only scrypt and pbkdf2 are read", RESTORE
            )
        return cls(
            path,
            derive,
            fields.inner("cipherparams").data("iv", 16),
            fields.data("ciphertext", 32),
            fields.data("mac", 32),
        )

    def open(self, password: bytes) -> bytes:
        """Decrypt the key.

        Returns:
            32 bytes.

        Raises:
            MacError: The password is wrong.
            KeystoreError: There is not enough memory to stretch it.
        """
        try:
            derived = self.derive(password)
        except (MemoryError, ValueError) as error:
            raise KeystoreError(
                f"{self.path} cannot be opened: its scrypt needs more memory than there is ({error})",
                "end other programs, or raise this process's memory limit",
            ) from error
        if not hmac.compare_digest(keccak256(derived[16:32] + self.ciphertext), self.mac):
            raise MacError
        decryptor = Aes(AES(derived[:16]), CTR(self.counter)).decryptor()
        return decryptor.update(self.ciphertext) + decryptor.finalize()


class _Fields:
    """A JSON object of a keystore, whose fields are checked as they are taken. Capitals in their names don't count."""

    def __init__(self, path: Path, name: str, value: object) -> None:
        self._path, self._name = path, name
        if not isinstance(value, dict):
            raise self.fault("is no object")
        self._value = {key.lower(): entry for key, entry in value.items()}
        if len(self._value) != len(value):
            raise self.fault("says a field twice, in capitals and without")

    def fault(self, what: str) -> KeystoreError:
        return KeystoreError(f"{self._path} cannot be opened: {self._name} {what}", RESTORE)

    def inner(self, name: str) -> _Fields:
        return _Fields(self._path, f"its {name}", self._taken(name))

    def text(self, name: str) -> str:
        value = self._taken(name)
        if not isinstance(value, str):
            raise self.fault(f"has a {name} that is no text")
        return value

    def data(self, name: str, size: int | None) -> bytes:
        """Take bytes of hexadecimal."""
        digits = re.sub("^0[xX]", "", self.text(name))
        if not re.fullmatch("([0-9a-fA-F]{2})*", digits):
            raise self.fault(f"has a {name} that is not hexadecimal")
        value = bytes.fromhex(digits)
        if size is not None and len(value) != size:
            raise self.fault(f"has a {name} of {len(value)} bytes, not {size}")
        if len(value) > SALT_LIMIT:
            raise self.fault(f"has a {name} of {len(value)} bytes, at most {SALT_LIMIT} are read")
        return value

    def whole(self, name: str, least: int, greatest: int) -> int:
        """Take a whole number; some tools write it as text, or as 8.0."""
        value = self._taken(name)
        if isinstance(value, str) and re.fullmatch("[0-9]{1,20}", value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fault(f"has a {name} that is no whole number")
        if not least <= value <= greatest:
            raise self.fault(f"has {name} = {str(value)[:30]}, which is outside {least} to {greatest}")
        return value

    def _taken(self, name: str) -> object:
        if self._value.get(name) is None:
            raise self.fault(f"has no {name}")
        return self._value[name]


def _require_version(path: Path, keystore: dict[str, Any]) -> None:
    """Rule 1. The rest is checked by itself, so that only a version that says otherwise is refused."""
    version = keystore.get("version")
    if version in (None, 3, "3", "3.0"):
        return
    to_do = "convert it with the wallet that made it, to an Ethereum keystore of version 3"
    if version in (4, "4"):
        raise KeystoreError(f"{path} is a validator's keystore (version 4), which holds no account's key", to_do)
    raise KeystoreError(f"{path} is a keystore of version {str(version)[:40]!r}; only version 3 is read", to_do)


def _scrypt(parameters: _Fields) -> Callable[[bytes], bytes]:
    n = parameters.whole("n", 2, 1 << 62)
    r = parameters.whole("r", 1, 1 << 62)
    p = parameters.whole("p", 1, 1 << 62)
    size = parameters.whole("dklen", *KEY_BYTES)
    salt = parameters.data("salt", None)
    if n & (n - 1):
        raise parameters.fault(f"has n = {n}, which is no power of two")
    if n.bit_length() > 16 * r:
        raise parameters.fault(f"has n = {n}, which scrypt does not allow with r = {r}")
    if 128 * n * r + 128 * r * p > MEMORY:
        raise parameters.fault(
            f"has n = {n}, r = {r} and p = {p}: scrypt would take {(128 * n * r + 128 * r * p) >> 20} MiB of memory, "
            f"more than {MEMORY >> 20}"
        )
    if n * r * p > SCRYPT_WORK:
        raise parameters.fault(f"has n = {n}, r = {r} and p = {p}: scrypt would take too long")
    # OpenSSL counts a little more than the memory for its blocks.
    most = 128 * r * (n + p + 2) + (1 << 20)
    return lambda password: hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=most, dklen=size)


def _pbkdf2(parameters: _Fields) -> Callable[[bytes], bytes]:
    rounds = parameters.whole("c", 1, PBKDF2_ROUNDS)
    size = parameters.whole("dklen", *KEY_BYTES)
    salt = parameters.data("salt", None)
    function = parameters.text("prf").lower()
    if function not in ("hmac-sha256", "hmac-sha512"):
        raise parameters.fault(f"has prf {function[:40]!r}; only hmac-sha256 is read")
    return lambda password: hashlib.pbkdf2_hmac(function.removeprefix("hmac-"), password, salt, rounds, size)
