"""The worked example of docs/contracts.md, from its inputs to the storage slots, with bytes and keccak256 alone."""

from __future__ import annotations

from datetime import UTC, datetime

from eth_account import Account

from sensetrail.core.primitives import keccak256

SECRET = keccak256(b"throw-away")
DEVICE = bytes.fromhex(Account.from_key(SECRET).address[2:])
CHAIN_ID = 31337
REGISTRY = bytes.fromhex("5FbDB2315678afecb367f032d93F642f64180aa3")
START, PERIOD = 1_767_225_600, 30
READINGS = ((25_00, 60_00), (25_02, 59_99), (26_05, 59_90))
"""Temperature and humidity in hundredths; the last temperature is 1.03 degC from the one before, 1.00 is allowed."""
EXCEPTIONS = bytes.fromhex("000210")


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


HEADER_FIELDS = (
    (DEVICE, "device"),
    (START.to_bytes(4, "big"), f"start {datetime.fromtimestamp(START, UTC):%Y-%m-%dT%H:%M:%SZ}"),
    (PERIOD.to_bytes(2, "big"), f"period {PERIOD} s"),
    (bytes(3), "first sequence number 0"),
    (len(READINGS).to_bytes(2, "big"), f"count {len(READINGS)}"),
    (b"\x03", "format 3, delta"),
)
HEADER = b"".join(field for field, _ in HEADER_FIELDS)


def _reading_bytes(i: int) -> bytes:
    temperature, humidity = READINGS[i]
    if i == 0:
        return temperature.to_bytes(2, "big") + humidity.to_bytes(2, "big")
    before = READINGS[i - 1]
    return bytes([temperature - before[0] & 0xFF, humidity - before[1] & 0xFF])


DATA = b"".join(_reading_bytes(i) for i in range(len(READINGS)))

DOMAIN_TYPEHASH = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
SEPARATOR = keccak256(
    DOMAIN_TYPEHASH + keccak256(b"Sensetrail") + keccak256(b"1") + word(CHAIN_ID) + bytes(12) + REGISTRY
)
BATCH_TYPEHASH = keccak256(b"Batch(uint256 header,bytes data)")
STRUCT_HASH = keccak256(BATCH_TYPEHASH + HEADER + keccak256(DATA))
DIGEST = keccak256(b"\x19\x01" + SEPARATOR + STRUCT_HASH)
_SIGNED = Account.unsafe_sign_hash(DIGEST, SECRET)
R, VS = word(_SIGNED.r), word(_SIGNED.s | (_SIGNED.v - 27) << 255)
PAYLOAD = DATA + R + VS

HEAD = keccak256(bytes(20) + HEADER + keccak256(DATA))[:20]
STATE_PLACE = keccak256(bytes(12) + DEVICE + word(3))
STATE_FIELDS = (
    (HEAD, "head"),
    ((START + 2 * PERIOD).to_bytes(4, "big"), "last time: start + 2 * 30"),
    (len(READINGS).to_bytes(3, "big"), "sequence: 3 readings so far"),
    (READINGS[-1][0].to_bytes(2, "big"), "temperature 26.05"),
    (READINGS[-1][1].to_bytes(2, "big"), "humidity 59.90"),
    (b"\x01", "profile 1"),
)
PROFILE_PLACE = keccak256(word(1) + word(5))
PROFILE_FIELDS = (
    (bytes(4), "unused"),
    (bytes.fromhex("806481f4"), "lane step: 0x8000 + 100, 0x8000 + 500"),
    (bytes.fromhex("a388a648"), "lane upper: 0x8000 + 5000 + 0x1000, 0x8000 + 9800"),
    (bytes.fromhex("70007e0c"), "lane lower: 0x8000 - 0 - 0x1000, 0x8000 - 500"),
    ((60).to_bytes(4, "big"), "future tolerance 60 s"),
    ((5_00).to_bytes(2, "big"), "humidity step 5.00"),
    ((98_00).to_bytes(2, "big"), "humidity max 98.00"),
    ((5_00).to_bytes(2, "big"), "humidity min 5.00"),
    ((1_00).to_bytes(2, "big"), "temperature step 1.00"),
    ((50_00).to_bytes(2, "big"), "temperature max 50.00"),
    (bytes(2), "temperature min 0.00"),
)
EVENT_TOPICS = (keccak256(b"BatchAccepted(address,uint256,bytes,bytes)"), bytes(12) + DEVICE)
EVENT_DATA = b"".join(
    (
        HEADER,
        word(0x60),
        word(0x60 + 32 + -(-len(PAYLOAD) // 32) * 32),
        word(len(PAYLOAD)),
        PAYLOAD + bytes(-len(PAYLOAD) % 32),
        word(len(EXCEPTIONS)),
        EXCEPTIONS + bytes(-len(EXCEPTIONS) % 32),
    )
)
_EVENT_MEANINGS = (
    "header",
    "where the payload is: its length stands at byte 0x60",
    "where the exceptions are",
    "the payload's length, 72: 8 bytes of readings, 64 of signature",
    "readings, then r ...",
    "... then vs ...",
    "... to its end, and zeros to a full word",
    "the exceptions' length",
    "reading 0002, flags 10: temperature step; zeros to a full word",
)


def _fields(fields: tuple[tuple[bytes, str], ...]) -> str:
    return "".join(f"{field.hex():42}{meaning}\n" for field, meaning in fields)


def _named(**values: bytes) -> str:
    return "".join(f"{name.replace('_', ' '):18}0x{value.hex()}\n" for name, value in values.items())


def _readings() -> str:
    lines, offset = [], 0
    for i, (temperature, humidity) in enumerate(READINGS):
        data = _reading_bytes(i)
        moment = datetime.fromtimestamp(START + i * PERIOD, UTC)
        change = "".join(f"  {int.from_bytes([byte], 'big', signed=True):+}" for byte in data) if i else ""
        lines.append(
            f"{offset}  {data.hex():8}{change:12}  {moment:%Y-%m-%dT%H:%M:%SZ}  {START + i * PERIOD}"
            f"  {temperature / 100:.2f} degC  {humidity / 100:.2f} %RH\n"
        )
        offset += len(data)
    return "".join(lines)


BLOCKS = {
    "inputs": _named(private_key=SECRET, device=DEVICE, registry=REGISTRY) + f"{'chain id':18}{CHAIN_ID}\n",
    "header": _fields(HEADER_FIELDS),
    "readings": _readings(),
    "digest": _named(
        domain_typehash=DOMAIN_TYPEHASH,
        keccak_of_name=keccak256(b"Sensetrail"),
        keccak_of_version=keccak256(b"1"),
        domain_separator=SEPARATOR,
        batch_typehash=BATCH_TYPEHASH,
        data_digest=keccak256(DATA),
        struct_hash=STRUCT_HASH,
        digest=DIGEST,
        r=R,
        vs=VS,
    ),
    "event": _named(topic_0=EVENT_TOPICS[0], topic_1=EVENT_TOPICS[1])
    + "".join(
        f"0x{32 * i:03x}  {EVENT_DATA[32 * i : 32 * i + 32].hex()}  {meaning}\n"
        for i, meaning in enumerate(_EVENT_MEANINGS)
    ),
    "head": _named(pre_image=bytes(20) + HEADER + keccak256(DATA), head=HEAD),
    "state": _named(place=STATE_PLACE) + _fields(STATE_FIELDS),
    "profile": _named(place=PROFILE_PLACE) + _fields(PROFILE_FIELDS),
}
"""What the document shows, block by block."""
