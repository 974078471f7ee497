"""Keystores of every spelling are opened; what cannot be opened is refused for its true reason, and hangs nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from sensetrail.core.primitives import address
from sensetrail.errors import InputError, KeystoreError
from sensetrail.sensor.keystore import Curve, Password, create_key, key_address, names_of, open_account, open_key

SECRET = bytes.fromhex("11" * 32)
OWN = address(Account.from_key(SECRET).address)
PASSWORD = "correct horse"  # noqa: S105 - of the tests' keystores
SCRYPT = Account.encrypt(SECRET, PASSWORD, kdf="scrypt", iterations=2)
PBKDF2 = Account.encrypt(SECRET, PASSWORD, kdf="pbkdf2", iterations=1)

Change = Callable[[dict[str, Any]], object]


def written(folder: Path, keystore: object, change: Change = lambda _: None) -> Path:
    value: Any = deepcopy(keystore)
    value = change(value) or value
    path = folder / "key.json"
    path.write_text(json.dumps(value))
    return path


def upper(value: dict[str, Any]) -> dict[str, Any]:
    return {name.upper(): upper(inner) if isinstance(inner, dict) else inner for name, inner in value.items()}


SPELLINGS: dict[str, Change] = {
    "as written": lambda _: None,
    "Crypto": lambda v: v.update(Crypto=v.pop("crypto")),
    "every name in capitals": upper,
    "address null": lambda v: v.update(address=None),
    "address missing": lambda v: v.pop("address") and None,
    "address empty": lambda v: v.update(address=""),
    "address with 0x": lambda v: v.update(address=OWN),
    "address with 0X": lambda v: v.update(address="0X" + OWN[2:].upper()),
    "address in capitals": lambda v: v.update(address=OWN[2:].upper()),
    "address in small letters": lambda v: v.update(address=OWN[2:].lower()),
    "version as text": lambda v: v.update(version="3"),
    "version 3.0": lambda v: v.update(version=3.0),
    "version missing": lambda v: v.pop("version") and None,
    "version null": lambda v: v.update(version=None),
    "id missing": lambda v: v.pop("id") and None,
    "fields of another wallet": lambda v: v.update({"x-ethers": {"client": "ethers.js"}, "name": "küche"}),
    "mac with 0x": lambda v: v["crypto"].update(mac="0x" + v["crypto"]["mac"]),
    "mac in capitals": lambda v: v["crypto"].update(mac=v["crypto"]["mac"].upper()),
    "dklen as text": lambda v: v["crypto"]["kdfparams"].update(dklen="32"),
    "dklen 32.0": lambda v: v["crypto"]["kdfparams"].update(dklen=32.0),
    "curve null": lambda v: v.update(curve=None),
}


@pytest.mark.parametrize("keystore", [SCRYPT, PBKDF2], ids=["scrypt", "pbkdf2"])
@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_opened(tmp_path: Path, keystore: dict[str, Any], name: str) -> None:
    path = written(tmp_path, keystore, SPELLINGS[name])
    assert open_key(path, PASSWORD).address == OWN
    assert address(open_account(path, PASSWORD).address) == OWN
    assert key_address(path, lambda: PASSWORD) == OWN


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode() + b"\r\n\r\n",
    ],
    ids=["BOM", "UTF-16", "line ends"],
)
def test_what_editors_put_around_it_does_not_matter(tmp_path: Path, encode: Callable[[str], bytes]) -> None:
    (tmp_path / "key.json").write_bytes(encode(json.dumps(SCRYPT)))
    assert open_key(tmp_path / "key.json", PASSWORD).address == OWN


def parameters(**changes: object) -> Change:
    return lambda v: v["crypto"]["kdfparams"].update(changes)


def crypto(**changes: object) -> Change:
    return lambda v: v["crypto"].update(changes)


def without(name: str) -> Change:
    return lambda v: v["crypto"].pop(name) and None


HOSTILE_SCRYPT: dict[str, tuple[Change, str]] = {
    "r = 10^9": (parameters(r=10**9), "MiB of memory"),
    "n = 2^40": (parameters(n=2**40), "MiB of memory"),
    "n = 2^23": (parameters(n=2**23, r=8), "scrypt would take 8192 MiB of memory, more than 1024"),
    "p = 10^9": (parameters(p=10**9), "MiB of memory"),
    "p = 2^22": (parameters(n=2**16, p=2**16, r=1), "n = 65536, which scrypt does not allow with r = 1"),
    "too long": (parameters(n=2**14, p=2**12, r=8), "would take too long"),
    "n = 1000": (parameters(n=1000), "no power of two"),
    "n = 1": (parameters(n=1), "n = 1, which is outside 2"),
    "n = 0": (parameters(n=0), "n = 0, which is outside 2"),
    "n negative": (parameters(n=-8), "n = -8, which is outside 2"),
    "n huge": (parameters(n=10**99), "which is outside"),
    "n without an end": (parameters(n=10**400), "is too large"),
    "r = 0": (parameters(r=0), "r = 0, which is outside 1"),
    "p = 0": (parameters(p=0), "p = 0, which is outside 1"),
    "n true": (parameters(n=True), "n that is no whole number"),
    "n 2.5": (parameters(n=2.5), "n that is no whole number"),
    "n words": (parameters(n="many"), "n that is no whole number"),
    "n list": (parameters(n=[2]), "n that is no whole number"),
    "n null": (parameters(n=None), "has no n"),
    "dklen 16": (parameters(dklen=16), "dklen = 16"),
    "dklen 10^12": (parameters(dklen=10**12), "dklen = 1000000000000"),
    "salt odd": (parameters(salt="abc"), "salt that is not hexadecimal"),
    "salt number": (parameters(salt=7), "salt that is no text"),
    "salt long": (parameters(salt="00" * 5000), "at most 1024"),
}
HOSTILE_PBKDF2: dict[str, tuple[Change, str]] = {
    "c = 10^12": (parameters(c=10**12), "c = 1000000000000"),
    "c = 0": (parameters(c=0), "c = 0"),
    "c true": (parameters(c=True), "c that is no whole number"),
    "prf": (parameters(prf="hmac-md5"), "prf 'hmac-md5'"),
    "prf null": (parameters(prf=None), "has no prf"),
}
HOSTILE: dict[str, tuple[Change, str]] = {
    "kdf argon2": (crypto(kdf="argon2id"), "'argon2id'; only scrypt and pbkdf2"),
    "kdf missing": (without("kdf"), "has no kdf"),
    "kdfparams a list": (crypto(kdfparams=[]), "its kdfparams is no object"),
    "cipher": (crypto(cipher="aes-128-cbc"), "'aes-128-cbc'; only aes-128-ctr"),
    "iv short": (crypto(cipherparams={"iv": "00" * 15}), "iv of 15 bytes, not 16"),
    "iv missing": (crypto(cipherparams={}), "has no iv"),
    "ciphertext short": (crypto(ciphertext="00" * 31), "ciphertext of 31 bytes, not 32"),
    "mac missing": (without("mac"), "has no mac"),
    "mac short": (crypto(mac="00"), "mac of 1 bytes, not 32"),
    "crypto a number": (lambda v: v.update(crypto=1), "its crypto is no object"),
    "two cryptos": (lambda v: v.update(Crypto=v["crypto"]), "says a field twice"),
    "version 1": (lambda v: v.update(version="1"), "version '1'; only version 3"),
    "version 2": (lambda v: v.update(version=2), "version '2'; only version 3"),
    "version true": (lambda v: v.update(version=True), "version 'True'; only version 3"),
    "version 4": (lambda v: v.update(version=4), "a validator's keystore"),
    "curve": (lambda v: v.update(curve="ed25519"), "curve 'ed25519', which this version does not know"),
    "address 7": (lambda v: v.update(address=7), "'7', which is no address"),
    "address short": (lambda v: v.update(address="0x1234"), "'0x1234', which is no address"),
    "address another's": (lambda v: v.update(address="22" * 20), "but holds the key of"),
    "no crypto": (lambda v: v.pop("crypto") and None, "is not an Ethereum keystore"),
    "a list": (lambda v: [v], "is not an Ethereum keystore"),
}
ALL = [
    *((name, SCRYPT, *case) for name, case in (HOSTILE_SCRYPT | HOSTILE).items()),
    *((name, PBKDF2, *case) for name, case in HOSTILE_PBKDF2.items()),
]


@pytest.mark.parametrize(("name", "keystore", "change", "said"), ALL, ids=[case[0] for case in ALL])
def test_what_cannot_be_opened_is_refused_at_once_for_its_true_reason(
    tmp_path: Path, name: str, keystore: dict[str, Any], change: Change, said: str
) -> None:
    path = written(tmp_path, keystore, change)
    begun = time.process_time()
    with pytest.raises(KeystoreError) as caught:
        open_key(path, PASSWORD)
    assert said in caught.value.what
    assert "password" not in caught.value.what.replace("stretches its password", "")
    assert len(caught.value.what) < 300 + len(str(path))
    assert time.process_time() - begun < 5


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b"\n  \n", "is empty"),
    "zeros": (bytes(400), "is empty"),
    "cut off": (json.dumps(SCRYPT).encode()[:200], "not valid JSON"),
    "not UTF-8": (b'{"crypto": "\xff"}', "not UTF-8"),
    "half surrogate": (b'{"crypto": "\\ud800"}', "not valid JSON"),
    "a key twice": (b'{"crypto": 1, "crypto": 2}', "stands twice"),
    "deep": (b'{"a":' * 200_000, "nested deeper"),
    "deep lists": (b"[" * 200_000, "nested deeper"),
    "long": (b" " * (1 << 20) + b"1", "is longer than"),
    "a long number": (b"1" * 5000, "not valid JSON"),
    "NaN": (b'{"crypto": NaN}', "not valid JSON"),
    "a bare key": (("11" * 32).encode(), ""),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_keystores(tmp_path: Path, name: str) -> None:
    content, said = FILES[name]
    (tmp_path / "key.json").write_bytes(content)
    for act in (lambda p: open_key(p, PASSWORD), key_address):
        with pytest.raises(KeystoreError) as caught:
            act(tmp_path / "key.json")
        assert said in caught.value.what
        assert caught.value.to_do


def test_what_is_no_file_hangs_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "broken.json").symlink_to("nowhere")
    for name, said in {
        "pipe.json": "a pipe or a device",
        "folder.json": "is a folder",
        "broken.json": "a symbolic link to nowhere",
        "missing.json": "there is no key at",
        "no/folder.json": "there is no key at",
    }.items():
        with pytest.raises(KeystoreError, match=said):
            open_key(tmp_path / name, PASSWORD)


def test_a_sparse_gigabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "key.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(KeystoreError, match="is longer than 1048576 bytes"):
        open_key(tmp_path / "key.json", PASSWORD)


def test_memory_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise MemoryError("cannot allocate")

    monkeypatch.setattr("hashlib.scrypt", refuse)
    with pytest.raises(KeystoreError, match="needs more memory than there is"):
        open_key(written(tmp_path, SCRYPT), PASSWORD)


@pytest.mark.parametrize(
    ("password", "what", "to_do"),
    [
        (Password("wrong", "SENSETRAIL_ACCOUNT_PASSWORD"), "in SENSETRAIL_ACCOUNT_PASSWORD", "check SENSETRAIL_ACC"),
        (Password("wrong", "SENSETRAIL_PASSWORD"), "in SENSETRAIL_PASSWORD", "check SENSETRAIL_PASSWORD"),
        (Password("wrong"), "the password typed", "type it again"),
        (Password("", "SENSETRAIL_PASSWORD"), "in SENSETRAIL_PASSWORD", "SENSETRAIL_PASSWORD is empty"),
        (Password(PASSWORD + "\n", "SENSETRAIL_PASSWORD"), "in SENSETRAIL_PASSWORD", "line end"),
        (Password(PASSWORD + "\r", "SENSETRAIL_PASSWORD"), "in SENSETRAIL_PASSWORD", "line end"),
        (Password(" " + PASSWORD), "typed", "white space"),
        (Password("\udcff", "SENSETRAIL_PASSWORD"), "in SENSETRAIL_PASSWORD", "check"),
    ],
)
def test_a_wrong_password_is_blamed_on_where_it_came_from(
    tmp_path: Path, password: Password, what: str, to_do: str
) -> None:
    with pytest.raises(KeystoreError) as caught:
        open_key(written(tmp_path, SCRYPT), password)
    assert "does not open" in caught.value.what
    assert what in caught.value.what
    assert to_do in caught.value.to_do


def test_a_keystore_with_an_empty_password_is_opened(tmp_path: Path) -> None:
    path = written(tmp_path, Account.encrypt(SECRET, "", kdf="pbkdf2", iterations=1))
    assert open_key(path, Password("", "SENSETRAIL_PASSWORD")).address == OWN


@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize("password", ["pw", "pässwörd", "\udcff"], ids=ascii)
def test_what_is_created_is_opened(
    tmp_path: Path, curve: Curve, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypt = Account.encrypt
    monkeypatch.setattr(Account, "encrypt", lambda key, secret: encrypt(key, secret, kdf="pbkdf2", iterations=1))
    made = create_key(tmp_path / "keys/A.json", password, curve)
    assert (tmp_path / "keys/A.json").stat().st_mode & 0o777 == 0o600
    assert open_key(tmp_path / "keys/A.json", password).address == made == key_address(tmp_path / "keys/A.json")
    with pytest.raises(InputError, match="there is a key at"):
        create_key(tmp_path / "keys/A.json", password, curve)


def test_an_empty_password_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="SENSETRAIL_PASSWORD is empty"):
        create_key(tmp_path / "A.json", Password("", "SENSETRAIL_PASSWORD"))
    with pytest.raises(KeystoreError, match="an empty password protects nothing"):
        create_key(tmp_path / "A.json", "")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_key_file_hides_no_other_name(tmp_path: Path) -> None:
    good = written(tmp_path, SCRYPT)
    (tmp_path / "empty.json").touch()
    keys = {"\u202ebad\x1b": good, "empty": tmp_path / "empty.json", "gone": tmp_path / "gone.json"}
    assert names_of(keys) == {OWN: r"\u202ebad\x1b"}
    with pytest.raises(KeystoreError, match="does not say its address"):
        key_address(written(tmp_path, SCRYPT, SPELLINGS["address null"]))
