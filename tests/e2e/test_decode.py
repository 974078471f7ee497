"""`sensetrail decode` on a real node: what it prints, what it refuses, and a node that lies about a receipt."""

from __future__ import annotations

import json
import random
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import contracts_example as example
from command import Terminal
from conftest import Site, make_site
from sensetrail.chain.client import Chain
from sensetrail.chain.devnet import devnet_account
from sensetrail.core.batch import Batch, Format, Header, decode, encode
from sensetrail.core.calls import decode_call
from sensetrail.core.primitives import address, address_bytes, hex_word, keccak256
from sensetrail.core.reading import Measurements
from sensetrail.core.signature import P256Key
from sensetrail.core.typed_data import batch_digest
from sensetrail.errors import ContractError, VerificationError

INPUT, CHAIN, EVIDENCE = 2, 4, 5
P256 = P256Key(keccak256(b"a secure element"))


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Terminal:
    made = Terminal(tmp_path, {"SENSETRAIL_RPC": site.chain.url}, in_process=True)
    made.workspace.write_deployment(site.deployment)
    return made


def mined(site: Site, transaction_hash: bytes) -> str:
    site.chain.wait(transaction_hash)
    return hex_word(transaction_hash)


def send_raw(site: Site, data: bytes, to: str | None = None, gas: int = 10**6) -> str:
    """Send whatever call data, without asking whether it reverts, from an account whose nonces nobody keeps."""
    where = to or site.registry.address
    fields = {"from": devnet_account(5).address, "to": where, "data": hex_word(data), "gas": hex(gas)}
    return str(site.chain.request("eth_sendTransaction", fields))


def readings(site: Site, count: int = 3) -> Measurements:
    """Give legal readings, but for a jump in the middle of three or more."""
    legal = site.measurements(count)
    jump = np.where(np.arange(count) == count // 2, 11_00, 0)
    return Measurements(legal.measured_at, legal.temperature + jump, legal.humidity)


def times(batch: Batch) -> list[int]:
    return [batch.header.start + batch.header.period * i for i in range(batch.header.count)]


def test_a_batch_byte_by_byte(site: Site, terminal: Terminal) -> None:
    batch, signature = site.batch(readings(site))
    sent = mined(site, site.registry.submit_batch(site.relayer, batch, signature))
    text = terminal.done("decode", sent)
    digest = batch_digest(batch, site.registry.domain_separator())
    for shown in (
        f"signed by    {site.relayer.address}",
        f"submitBatch(uint256,bytes) of {site.registry.address}",
        hex_word(batch.header.pack().to_bytes(32, "big")),
        f"device {site.device_address}",
        "format 2, regular",
        signature[:32].hex(),
        signature[32:].hex(),
        "signature (secp256k1, by its length)",
        f"domain separator  {hex_word(site.registry.domain_separator())}",
        f"digest            {hex_word(digest)}",
        "verifies: the device signed this",
        "accepted: 1 legal, 2 not",
        "000110  reading 1: temperature step",
        "000210  reading 2: temperature step",
        f"data digest       {hex_word(keccak256(batch.data))}",
        "keccak256 of the head before (20 bytes), the header (32) and the data digest (32); its first 20 bytes",
    ):
        assert shown in text
    rows = [line.split() for line in text.splitlines() if re.match(r" +\d+  [0-9a-f]{8} +\d+  +20", line)]
    assert [row[:3] for row in rows] == [[str(4 * i), batch.data[4 * i : 4 * i + 4].hex(), str(i)] for i in range(3)]
    assert [row[5:7] for row in rows] == [["25.00", "60.00"], ["36.01", "60.01"], ["25.02", "60.02"]]
    assert [int(row[4]) for row in rows] == times(batch)
    assert [datetime.fromisoformat(row[3]).timestamp() for row in rows] == times(batch)


def test_json_of_every_kind_of_batch_in_one_transaction(site: Site, terminal: Terminal) -> None:
    site.registry.register_device(site.admin, P256.address, 1, bytes(32))
    timed = encode(site.device_address, 0, readings(site), Format.TIMED)
    delta, of_p256 = site.batch(site.measurements(4), P256)
    replayed = site.sign(timed)
    batches = [(timed, replayed), (delta, of_p256), (timed, replayed), (delta, of_p256[:-1]), (delta, of_p256[::-1])]
    sent = mined(site, site.registry.submit_batches(site.relayer, batches))
    told = terminal.json("decode", sent)
    assert (told["function"], told["is_canonical"]) == ("submitBatches((uint256,bytes)[])", True)
    assert (told["findings"], told["succeeded"]) == ([], True)
    outcomes = [item["outcome"] for item in told["items"]]
    assert [outcome.get("reason", "accepted") for outcome in outcomes] == [
        "accepted",
        "accepted",
        "wrong sequence",
        "malformed",
        "wrong signature",
    ]
    assert outcomes[2]["sender"] == site.relayer.address
    first, second, _, malformed, forged = told["items"]
    assert first["readings"][1]["flags"] == ["temperature step"]
    assert [reading["measured_at"] for reading in first["readings"]] == decode(timed).measured_at.tolist()
    assert second["signature"]["kind"] == "P-256"
    parts = [piece["bytes"][2:] for piece in second["signature"]["pieces"]]
    assert bytes.fromhex("".join(parts)) == of_p256
    assert [second["signature"]["verifies"], forged["signature"]["verifies"]] == [True, False]
    assert malformed["readings"] is None
    assert bytes.fromhex(malformed["payload"][2:]) == delta.data + of_p256[:-1]
    assert "is NOT the device's" in terminal.done("decode", sent)
    assert "not as long as the header announces" in terminal.done("decode", sent)


def test_a_long_batch_is_cut_unless_all_is_asked_for(site: Site, terminal: Terminal) -> None:
    batch, signature = site.batch(site.measurements(40))
    sent = mined(site, site.registry.submit_batch(site.relayer, batch, signature))

    def sequences(text: str) -> list[int]:
        return [int(found) for found in re.findall(r"^ +\d+  [0-9a-f]{4,8} +(\d+)  ", text, re.MULTILINE)]

    assert sequences(terminal.done("decode", sent)) == [0, 1, 2, 3, 4, 38, 39]
    assert "33 more (--all)" in terminal.done("decode", sent)
    assert sequences(terminal.done("decode", sent, "--all")) == list(range(40))
    assert len(terminal.json("decode", sent)["items"][0]["readings"]) == 40


def test_an_own_reading_and_the_registrar_s_calls(site: Site, terminal: Terminal) -> None:
    posted = mined(site, site.registry.post(site.device, 0, site.now, -1_00, 60_00))
    told = terminal.json("decode", posted)
    assert (told["function"], told["sender"]) == ("post(uint24,uint32,int16,uint16)", site.device_address)
    (item,) = told["items"]
    assert (item["signature"], item["payload"]) == (None, "0xff9c1770")
    assert item["readings"][0]["flags"] == ["temperature range"]
    assert "the transaction's own" in terminal.done("decode", posted)
    repeated = mined(site, site.registry.post(site.device, 0, site.now, -1_00, 60_00))
    assert "REJECTED: wrong sequence" in terminal.done("decode", repeated)
    revoked = mined(site, site.registry.send(site.admin, "revokeDevice", site.device_address, 5))
    told = terminal.json("decode", revoked)
    assert told["items"] == []
    assert told["events"] == [{"event": "DeviceRevoked", "device": site.device_address, "untrusted_since": 5}]
    assert "a function that brings no readings" in terminal.done("decode", revoked)


def test_through_another_contract_the_events_tell(site: Site, terminal: Terminal) -> None:
    relay = "0x" + "7e" * 20
    registry = address_bytes(site.registry.address).hex()
    # It calls the registry with whatever it is called with.
    site.chain.request("anvil_setCode", relay, f"0x365f5f375f5f365f5f73{registry}5af100")
    batch, signature = site.batch(readings(site))
    call = site.registry.encode("submitBatch", batch.header.pack(), batch.data + signature)
    sent = send_raw(site, call, relay)
    told = terminal.json("decode", sent)
    assert (told["function"], told["findings"]) == (None, [])
    assert told["items"][0]["signature"]["verifies"]
    assert "its events tell" in terminal.done("decode", sent)
    again = terminal.json("decode", send_raw(site, call, relay))["items"][0]
    assert (again["payload"], again["readings"]) == (None, None)
    assert again["outcome"]["sender"].lower() == relay
    assert again["head"]["data_digest"] == hex_word(keccak256(batch.data))


def test_call_data_that_no_encoder_writes_is_read_as_the_registry_reads_it(site: Site, terminal: Terminal) -> None:
    batch, signature = site.batch(readings(site))
    sent = send_raw(site, site.registry.encode("submitBatch", batch.header.pack(), batch.data + signature) + b"junk")
    told = terminal.json("decode", sent)
    assert (told["is_canonical"], told["findings"], told["items"][0]["outcome"]["accepted"]) == (False, [], True)
    assert "otherwise than an ABI encoder" in terminal.done("decode", sent)


def test_the_registry_reverts_on_just_what_the_decoder_refuses(site: Site) -> None:
    """Random pointers, lengths and cuts: the contract and its decoder agree on each."""
    batch, signature = site.batch(site.measurements(2))
    struct = (batch.header.pack(), batch.data + signature)
    calls = [
        site.registry.encode("post", 0, site.now, 25_00, 60_00),
        site.registry.encode("submitBatch", *struct),
        site.registry.encode("submitBatches", [struct, struct]),
    ]
    source = random.Random(5)  # noqa: S311 - no secret
    refused = accepted = 0
    for _ in range(600):
        call = bytearray(source.choice(calls))
        for _ in range(source.randint(1, 2)):
            place = 4 + 32 * source.randrange((len(call) - 4) // 32)
            near = int.from_bytes(call[place : place + 32], "big") + source.choice((-64, -32, -4, -1, 1, 31, 32, 64))
            far = source.choice((0, 32, 64, 96, 2**64 - 1, 2**64, 2**255, -1, -4, -32, -36, -64, -68, -100, len(call)))
            call[place : place + 32] = (source.choice((near, far)) % 2**256).to_bytes(32, "big")
        data = bytes(call[: len(call) - source.choice((0, 0, 0, 1, 20, 32, 64))])
        try:
            decode_call(data)
        except VerificationError:
            refused += 1
            with pytest.raises(ContractError):
                site.chain.call(site.registry.address, data)
        else:
            accepted += 1
            site.chain.call(site.registry.address, data)
    assert refused > 100
    assert accepted > 100


def test_what_cannot_be_decoded_is_said(site: Site, terminal: Terminal) -> None:
    wrong, to_do = terminal.fails(INPUT, "decode", "0x1234")
    assert "no transaction's hash" in wrong
    wrong, _ = terminal.fails(INPUT, "decode", "0x" + "ab" * 32)
    assert "has no transaction 0xabab" in wrong
    elsewhere = mined(site, site.chain.send(site.admin, site.device_address, value=1))
    wrong, to_do = terminal.fails(INPUT, "decode", elsewhere)
    assert f"neither calls the registry {site.registry.address}" in wrong
    assert "--workspace" in to_do
    other = make_site(site.chain)
    batch, signature = other.batch(readings(other))
    of_other = mined(other, other.registry.submit_batch(other.relayer, batch, signature))
    wrong, _ = terminal.fails(INPUT, "decode", of_other)
    assert "neither calls the registry" in wrong
    wrong, to_do = terminal.fails(INPUT, "decode", of_other, "--workspace", "nowhere")
    assert "no deployment in nowhere" in wrong
    wrong, _ = terminal.fails(CHAIN, "decode", of_other, "--rpc", "http://127.0.0.1:1")
    assert "no node answers" in wrong


def test_a_pending_transaction(fresh_devnet: Chain, tmp_path: Path) -> None:
    site = make_site(fresh_devnet)
    terminal = Terminal(tmp_path, {"SENSETRAIL_RPC": site.chain.url}, in_process=True)
    terminal.workspace.write_deployment(site.deployment)
    batch, signature = site.batch(readings(site))
    site.chain.request("evm_setAutomine", False)
    sent = hex_word(site.registry.submit_batch(site.relayer, batch, signature))
    wrong, to_do = terminal.fails(CHAIN, "decode", sent)
    assert "is pending" in wrong
    assert "later" in to_do
    site.chain.request("evm_mine")
    assert "verifies" in terminal.done("decode", sent)


def test_failed_transactions(site: Site, terminal: Terminal) -> None:
    batch, signature = site.batch(readings(site))
    call = site.registry.encode("submitBatch", batch.header.pack(), batch.data + signature)
    wrong, to_do = terminal.fails(EVIDENCE, "decode", send_raw(site, call[:-40]))
    assert "call data that the registry reverts on" in wrong
    assert "nothing of it counts" in to_do
    short_of_gas = send_raw(site, call, gas=40_000)
    assert "FAILED       nothing of it counts" in terminal.done("decode", short_of_gas)
    told = terminal.json("decode", short_of_gas)
    assert (told["succeeded"], told["findings"], told["items"][0]["outcome"]) == (False, [], None)


Lie = Callable[[str], str]


@contextmanager
def lying_node(site: Site, method: str, lie: Lie) -> Iterator[str]:
    """Stand before the real node and change its answers to one method; give the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            request = urllib.request.Request(site.chain.url, asked, {"Content-Type": "application/json"})  # noqa: S310
            with urllib.request.urlopen(request) as answer:  # noqa: S310 - the devnet's
                said = answer.read().decode()
            if json.loads(asked)["method"] == method:
                changed = lie(said)
                assert changed != said
                said = changed
            self.send_response(200)
            self.send_header("Content-Length", str(len(said.encode())))
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def swap(old: bytes | str, new: bytes | str) -> Lie:
    def text(value: bytes | str) -> str:
        return value if isinstance(value, str) else value.hex()

    return lambda said: said.replace(text(old), text(new))


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def lies(batch: Batch, signature: bytes) -> dict[str, tuple[str, Lie, str]]:
    receipt = "eth_getTransactionReceipt"
    word = batch.header.pack().to_bytes(32, "big")
    return {
        "another reading": (receipt, swap(batch.data, flip(batch.data)), "the event's payload is not the one"),
        "another signature": (receipt, swap(signature, flip(signature)), "the event's payload is not the one"),
        "another format": (receipt, swap(word, flip(word)), "BatchAccepted in block"),
        "another time": (receipt, swap(word[20:24], flip(word[20:24])), "the event's header is not the one"),
        "another topic": (receipt, swap(f'{word[:20].hex()}"', f'{bytes(20).hex()}"'), "another device than its topic"),
        "no event": (receipt, lambda said: re.sub(r'"logs":\[.*?\}\]', '"logs":[]', said), "has 0 events"),
        "failed": (receipt, swap('"status":"0x1"', '"status":"0x0"'), "says that the transaction failed"),
        "other call data": ("eth_getTransactionByHash", swap(batch.data, flip(batch.data)), "does not hash to"),
        "another nonce": ("eth_getTransactionByHash", swap('"nonce":"0x', '"nonce":"0x1'), "does not hash to"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "another reading",
        "another signature",
        "another format",
        "another time",
        "another topic",
        "no event",
        "failed",
        "other call data",
        "another nonce",
    ],
)
def test_a_node_that_lies_is_found_out(site: Site, terminal: Terminal, name: str) -> None:
    batch, signature = site.batch(readings(site))
    sent = mined(site, site.registry.submit_batch(site.relayer, batch, signature))
    method, lie, finding = lies(batch, signature)[name]
    with lying_node(site, method, lie) as url:
        wrong, to_do = terminal.fails(EVIDENCE, "decode", sent, "--rpc", url)
        told = terminal.run("decode", sent, "--rpc", url, "--json")
    assert finding in wrong
    assert "another" in to_do
    assert told.code == EVIDENCE
    if method == "eth_getTransactionReceipt":
        assert any(finding in each for each in json.loads(told.out)["findings"])


def test_the_document_s_example_on_a_real_registry(fresh_devnet: Chain, tmp_path: Path) -> None:
    """docs/contracts.md, "A worked example": the same event, the same storage, and `decode` tells the same."""
    site = make_site(fresh_devnet)
    assert (address_bytes(site.registry.address), site.chain.chain_id) == (example.REGISTRY, example.CHAIN_ID)
    site.registry.register_device(site.admin, address(example.DEVICE), 1, bytes(32))
    batch = Batch(Header.unpack(int.from_bytes(example.HEADER, "big")), example.DATA)
    sent = site.registry.submit_batch(site.relayer, batch, example.R + example.VS)
    (log,) = site.chain.wait(sent).logs
    assert (log.topics, log.data) == (example.EVENT_TOPICS, example.EVENT_DATA)
    for place, fields in ((example.STATE_PLACE, example.STATE_FIELDS), (example.PROFILE_PLACE, example.PROFILE_FIELDS)):
        stored = site.chain.storage(site.registry.address, int.from_bytes(place, "big"))
        assert stored == b"".join(field for field, _ in fields)
    terminal = Terminal(tmp_path, {"SENSETRAIL_RPC": site.chain.url}, in_process=True)
    terminal.workspace.write_deployment(site.deployment)
    text = terminal.done("decode", hex_word(sent))
    for value in (example.SEPARATOR, example.STRUCT_HASH, example.DIGEST, example.HEADER):
        assert hex_word(value) in text
    for shown in (
        "2026-01-01T00:01:00Z  1767225660  26.05  59.90  temperature step",
        "+1.03 degC, -0.09 %RH",
        "000210",
    ):
        assert shown in text
