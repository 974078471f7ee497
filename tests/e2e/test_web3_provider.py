"""web3.py over the package's own connection: its calls work, and a node can do no more to it than to the index."""

from __future__ import annotations

import subprocess
import sys

import pytest
from web3.exceptions import ContractCustomError, ContractLogicError, Web3RPCError

from conftest import Site
from proxy import Reply, running_proxy
from sensetrail.chain.artifact import SENSOR_REGISTRY, load_artifact
from sensetrail.chain.client import Chain
from sensetrail.errors import ChainError


def test_web3_reads_the_registry_s_events(site: Site) -> None:
    site.registry.post(site.device, 0, site.now - 60, 2150, 5010)
    web3 = site.chain.web3()
    assert web3.is_connected()
    assert web3.eth.chain_id == site.chain.chain_id
    assert web3.eth.get_block("latest")["hash"] == site.chain.latest_block().hash
    registry = web3.eth.contract(
        address=web3.to_checksum_address(site.deployment.sensor_registry), abi=load_artifact(SENSOR_REGISTRY).abi
    )
    assert registry.functions.deviceCount().call() == site.registry.device_count()
    (event,) = registry.events.ReadingPosted().get_logs(from_block=0)
    assert event["args"]["device"] == site.device_address


def test_a_node_s_error_is_web3_s_own(site: Site) -> None:
    web3 = site.chain.web3()
    with pytest.raises(Web3RPCError):
        web3.eth.get_storage_at(site.deployment.sensor_registry, 0, 99_999)  # type: ignore[arg-type]
    registry = web3.eth.contract(
        address=web3.to_checksum_address(site.deployment.sensor_registry), abi=load_artifact(SENSOR_REGISTRY).abi
    )
    with pytest.raises((ContractCustomError, ContractLogicError)):
        registry.functions.registerDevice("0x" + "00" * 20, 1, bytes(32)).call({"from": site.admin.address})


def test_the_recursion_limit_stays_as_it_was() -> None:
    code = "import sensetrail.chain.provider, sys; print(sys.getrecursionlimit())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1000\n"


def test_a_deep_answer_does_not_end_the_process(site: Site) -> None:
    deep = b'{"jsonrpc": "2.0", "id": 1, "result": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    with running_proxy(site.chain.url) as proxy:
        web3 = Chain(proxy.url).web3()
        assert web3.eth.gas_price > 0
        proxy.on_request = lambda _: Reply(deep)
        with pytest.raises(ChainError, match="nested deeper"):
            _ = web3.eth.gas_price
