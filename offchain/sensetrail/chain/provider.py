"""web3.py over this package's connection to a node, for programs that want web3.py's own calls.

So passwords, proxies, redirects, compressed answers and time limits are the same there and in the index. Commands don't
need it: they read answers by `chain.answers`, which refuses what does not have the shape that it must have.
"""

from __future__ import annotations

import sys
from typing import Any, cast

from sensetrail.chain.endpoint import Endpoint
from sensetrail.chain.rpc import AnsweredWithError, Rpc

_limit = sys.getrecursionlimit()
from web3 import Web3  # noqa: E402 - it imports a library that raises the recursion limit
from web3.middleware import ExtraDataToPOAMiddleware  # noqa: E402
from web3.providers.base import JSONBaseProvider  # noqa: E402
from web3.types import RPCEndpoint, RPCResponse  # noqa: E402

sys.setrecursionlimit(_limit)


class LineProvider(JSONBaseProvider):
    """A web3.py provider over one kept line to a node."""

    # A contract's error could otherwise have web3.py fetch any URL (EIP-3668).
    global_ccip_read_enabled = False

    def __init__(self, endpoint: Endpoint) -> None:
        """Prepare the line; nothing is sent yet.

        Args:
            endpoint: The node's URL.
        """
        super().__init__()
        self._rpc = Rpc(endpoint)

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Ask a question; a JSON-RPC error is for web3.py to raise.

        Raises:
            ChainError: The node does not answer, or its answer makes no sense.
        """
        response: dict[str, Any] = {"jsonrpc": "2.0", "id": 1}
        try:
            response["result"] = self._rpc.ask(method, *params)
        except AnsweredWithError as error:
            code = error.code if isinstance(error.code, int) else -32000
            response["error"] = {"code": code, "message": error.message, "data": error.data}
        return cast(RPCResponse, response)

    def is_connected(self, show_traceback: bool = False) -> bool:
        """Whether the node answers."""
        return "result" in self.make_request(RPCEndpoint("eth_chainId"), [])


def open_web3(endpoint: Endpoint) -> Web3:
    """Give web3.py at a node; blocks of proof-of-authority chains are read, too."""
    web3 = Web3(LineProvider(endpoint))
    web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    return web3
