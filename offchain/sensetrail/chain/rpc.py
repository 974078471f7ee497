"""One question to a node, and its answer: JSON-RPC 2.0 over one line. `chain.wire` is for many at once."""

from __future__ import annotations

import http.client
import json
import time
from itertools import count
from typing import Any

from sensetrail.chain.endpoint import Endpoint
from sensetrail.chain.line import Line, error_message, status_error
from sensetrail.chain.transport import trouble
from sensetrail.core.canonical import parse_json
from sensetrail.errors import ChainError, ManifestError, NodeUnreachableError, RefusedError

REQUEST_TIMEOUT = 30.0
TRIES = 3
"""How often a question is asked while the node is busy or breaks off."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
TOO_MANY_REQUESTS = 429
BUSY_STATUS = frozenset({TOO_MANY_REQUESTS, 502, 503, 504})
SENDS = "eth_sendRawTransaction"
"""Asked once only: a node that took it and broke off would say that it has it already."""


class AnsweredWithError(RefusedError):
    """The node answers with a JSON-RPC error.

    Attributes:
        message: What it says, one line, without secrets.
        data: What it adds, such as a revert's data.
    """

    def __init__(self, method: str, message: str, code: object, data: object) -> None:
        super().__init__(f"the node refused {method}: {message}", "check the arguments, or use another node", code=code)
        self.message = message
        self.data = data


class Rpc:
    """Questions to one node, one after the other."""

    def __init__(self, endpoint: Endpoint, timeout: float = REQUEST_TIMEOUT) -> None:
        """Prepare the line; nothing is sent yet."""
        self._line = Line(endpoint, timeout, 1 << 16)
        self._numbers = count(1)

    @property
    def endpoint(self) -> Endpoint:
        """The node's URL; messages name it as it is here, also where it redirects."""
        return self._line.endpoint

    def ask(self, method: str, *parameters: object) -> Any:
        """Ask a question; give its result, any JSON value.

        Raises:
            AnsweredWithError: The node answers with an error.
            NodeUnreachableError: It does not answer, or is busy.
            ChainError: The answer makes no sense.
        """
        number = next(self._numbers)
        question = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        status = self._exchange(method, json.dumps(question).encode())
        try:
            answer = parse_json(bytes(self._line.answer), "the node's answer")
        except ManifestError as error:
            if status != 200:
                raise status_error(self.endpoint, status) from error
            raise ChainError(
                self.endpoint.foreign_text(error.what), "check the node's URL, or use another node"
            ) from error
        failure = answer.get("error") if isinstance(answer, dict) else None
        if failure is not None:
            raise self._refusal(method, failure)
        if status != 200:
            raise status_error(self.endpoint, status)
        return _result(method, number, answer)

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def _exchange(self, method: str, body: bytes) -> int:
        """Send a question and receive the answer, on another try where the first fails; give the HTTP status."""
        pause = FIRST_PAUSE
        for tries_left in reversed(range(TRIES)):
            try:
                self._line.send(body)
                status, retry_after = self._line.receive()
            except (OSError, http.client.HTTPException) as error:
                self._line.close()
                is_broken = isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError)
                if not (is_broken and tries_left and method != SENDS):
                    raise self._unreachable(error) from error
                retry_after = 0.0
            else:
                if status not in BUSY_STATUS:
                    return status
                if not tries_left or (method == SENDS and status != TOO_MANY_REQUESTS):
                    what = f"{self.endpoint.name} is busy ({status})"
                    raise NodeUnreachableError(what, "run the command again later")
            time.sleep(min(max(pause, retry_after), LONGEST_PAUSE))
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def _unreachable(self, error: Exception) -> NodeUnreachableError:
        name, what = self.endpoint.name, trouble(error)
        if not isinstance(error, OSError | http.client.IncompleteRead):
            return NodeUnreachableError(f"{name} answers, but not as a node: it {what}", "check the node's URL")
        if isinstance(error, ConnectionRefusedError):
            what = f"no node answers at {name}"
            return NodeUnreachableError(what, "start one (`sensetrail devnet`), or give its URL with --rpc")
        return NodeUnreachableError(f"no node answers at {name}: it {what}", "try later, or use another node")

    def _refusal(self, method: str, error: object) -> AnsweredWithError:
        """Read a JSON-RPC error."""
        fields = error if isinstance(error, dict) else {}
        said = self.endpoint.foreign_text(error_message(error))
        return AnsweredWithError(method, said, fields.get("code"), fields.get("data"))


def _result(method: str, number: int, answer: object) -> Any:
    """Take the result out of an answer.

    Raises:
        ChainError: There is none, or it answers another question.
    """
    if not isinstance(answer, dict) or "result" not in answer:
        raise ChainError(f"the node's answer to {method} has no result", "use another node")
    if type(answer.get("id")) is not int or answer["id"] != number:
        raise ChainError(f"the node's answer to {method} is another question's", "use another node")
    return answer["result"]
