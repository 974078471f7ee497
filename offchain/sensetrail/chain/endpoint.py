"""A node's URL: what connections need of it, and what may be shown and kept of it.

A URL may hold a password (`https://user:password@host`) or a key (`https://host/v3/KEY`, `https://host/?key=KEY`,
`https://KEY.host`).
Messages show `name`, a workspace keeps `public_url`, and foreign text passes through `foreign_text` before it is shown.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from sensetrail.core.text import printable
from sensetrail.errors import InputError

LONGEST_FOREIGN_TEXT = 200
"""Characters of a node's or a library's own words in a message."""
EXAMPLE = "give one such as http://127.0.0.1:8545"
PORTS = {"http": 80, "https": 443}

_WORD = re.compile(r"[A-Za-z]{1,12}\d{0,2}([-_.][A-Za-z]{1,12}\d{0,2}){0,3}|\d{1,10}")
"""A part of a path that is a word, a network's name or a chain id; anything else may be a key."""
_HOST_KEY = re.compile(r"(?=([a-z]*\d+[a-z]+){2})[a-z0-9]{20,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A host's subdomain that may be a key: long, with digits scattered among its letters; or a UUID."""
_VERSION = re.compile(r"v\d{1,2}")
_AFTER_VERSION = frozenset({"rpc", "jsonrpc", "eth", "evm", "ethereum", "mainnet", "sepolia", "hoodi", "node"})
"""Words that may follow a version: as a rule, providers expect the key there."""
_HOST, _IPV6 = r"[a-z0-9._-]+", r"[0-9a-f:.]+(%[A-Za-z0-9._-]+)?"
_ENCODE = "in a password, / ? # and % are percent-encoded"
_HIDDEN = "***"
_LONGEST_SEARCHED = 10 * LONGEST_FOREIGN_TEXT
_URL_SIGNS = "/%:@!$&'()*+,;=~?"
_LOGIN = re.compile(r"(?<=://)[^\s/?#]*@")
"""User and password in a URL that stands in foreign text."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node or a proxy is.

    Attributes:
        url: The whole URL, which may hold secrets: it is neither shown nor kept.
        scheme: `http` or `https`.
        host: As the network knows it: ASCII; an IPv6 address without brackets.
        port: TCP port.
        target: Path and query, as a request names them; may hold secrets.
        authorization: The value of an HTTP `Authorization` header; None where the URL has no user.
        name: `scheme://host:port`, which messages show; *** stands for a subdomain that may be a key.
        public_url: The URL without user, password, query, fragment and parts of host and path that may be keys.
        secrets: What must not be shown.
    """

    url: str = field(repr=False)
    scheme: str
    host: str
    port: int
    target: str = field(repr=False)
    authorization: str | None = field(repr=False)
    name: str
    public_url: str
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def is_shortened(self) -> bool:
        """Whether `public_url` lacks something that the node may ask for."""
        return bool(self.secrets)

    @property
    def is_loopback(self) -> bool:
        """Whether this machine itself is meant."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: credentials are for one origin."""
        return self.scheme, self.host, self.port

    def leading_to(self, *places: Endpoint) -> Endpoint:
        """Give the endpoint as messages name it where it redirects elsewhere, and without the secrets of those places.

        Where to is not said: the node chooses that host's name, which may hold a key.

        Args:
            places: Where it leads, the last one in the end.
        """
        is_elsewhere = places[-1].origin != self.origin
        name = f"{self.name} (which redirects)" if is_elsewhere else self.name
        secrets = {secret for endpoint in (self, *places) for secret in endpoint.secrets}
        return replace(self, name=name, secrets=tuple(secrets))

    def foreign_text(self, text: object) -> str:
        """Give a node's or a library's own words as a short line that shows none of the URL's secrets."""
        shown = _LOGIN.sub("", str(text)[:_LONGEST_SEARCHED])
        for secret in sorted(self.secrets, key=len, reverse=True):
            # A secret of few letters is hidden where it stands alone, or messages would be full of holes.
            pattern = re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)"
            shown = re.sub(pattern, _HIDDEN, shown, flags=re.IGNORECASE)
        return printable(shown, LONGEST_FOREIGN_TEXT)


def parse_endpoint(url: str, what: str = "the node's URL", to_do: str = EXAMPLE) -> Endpoint:
    """Read an http(s) URL.

    Args:
        url: The URL; user and password percent-encoded where they hold `/`, `?`, `#`, `@` or `%`.
        what: What it is, for errors, which never repeat it.
        to_do: What to do where it is none.

    Raises:
        InputError: It is not an http or https URL.
    """
    url = url.strip()
    if re.search(r"[\x00-\x20\x7f]", url):
        raise InputError(f"{what} holds spaces or control characters", to_do)
    try:
        parts = urlsplit(url)
        if parts.scheme in ("ws", "wss"):
            raise InputError(f"{what} is a WebSocket's", "give the node's http or https URL")
        if parts.scheme not in PORTS or not parts.hostname or parts.port == 0:
            raise InputError(f"{what} is not an http URL", to_do)
        if "@" in parts.path + parts.query + parts.fragment and "@" not in parts.netloc:
            # http://user:a/b@host is read as host `user`: nothing of it may be shown, or connected to.
            raise InputError(f"{what} has an @ in its path", f"{to_do}; {_ENCODE}, and an @ in a path is %40")
        return _endpoint(url, parts)
    except ValueError:
        # What the library says repeats the URL.
        raise InputError(f"{what} is not an http URL", f"{to_do}; {_ENCODE}") from None


def _endpoint(url: str, parts: SplitResult) -> Endpoint:
    """Put together what is known of a URL; a ValueError where it cannot be used."""
    host, port = _ascii_host(parts.hostname or ""), parts.port
    shown, kept, keys = _public_host(host)
    start, end = f"{parts.scheme}://", "" if port is None else f":{port}"
    path, hidden = _public_path(parts.path)
    query = f"?{quote(parts.query, safe=_URL_SIGNS)}" if parts.query else ""
    return Endpoint(
        url,
        parts.scheme,
        host,
        PORTS[parts.scheme] if port is None else port,
        quote(parts.path or "/", safe=_URL_SIGNS) + query,
        _authorization(parts),
        f"{start}{shown}{end}",
        f"{start}{kept}{end}{path}",
        tuple(_secrets(parts, hidden + keys)),
    )


def _ascii_host(host: str) -> str:
    """Give a host's name as DNS has it (IDNA), or an IPv6 address; a ValueError where it cannot be one."""
    is_ipv6 = ":" in host
    encoded = unquote(host) if is_ipv6 else host.rstrip(".").encode("idna").decode("ascii").lower()
    if not re.fullmatch(_IPV6 if is_ipv6 else _HOST, encoded):
        raise ValueError("no host")
    return encoded


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None and parts.password is None:
        return None
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + b64encode(login.encode()).decode()


def _public_host(host: str) -> tuple[str, str, list[str]]:
    """Give a host as it is shown, and as it is kept, without what may be keys; and what was left out.

    Some providers have the key before their own name. A domain, which has two labels at least, is no key.
    """
    if ":" in host:
        return f"[{host}]", f"[{host}]", []
    labels = host.split(".")
    keys = [label for label in labels[:-2] if _HOST_KEY.fullmatch(label)]
    shown = ".".join(_HIDDEN if label in keys else label for label in labels)
    return shown, ".".join(label for label in labels if label not in keys), keys


def _public_path(path: str) -> tuple[str, list[str]]:
    """Give a path without what may be keys, and what was left out."""
    kept, hidden = [""], []
    for part in path.split("/"):
        after_version = _VERSION.fullmatch(kept[-1]) is not None
        is_word = part in _AFTER_VERSION or part.isdecimal() if after_version else True
        if part and (not is_word or not _WORD.fullmatch(part)):
            hidden.append(part)
        elif part:
            kept.append(part)
    return "/".join(kept), hidden


def _secrets(parts: SplitResult, hidden: list[str]) -> set[str]:
    found = {parts.username, parts.password, parts.query, parts.fragment, *hidden}
    found |= {value for _, value in parse_qsl(parts.query, max_num_fields=1000)}
    authorization = _authorization(parts)
    if authorization is not None:
        found.add(authorization.removeprefix("Basic ").rstrip("="))
    plain = {text for text in found if text}
    plain |= {unquote(text) for text in plain}
    # As it is written in a URL, and in JSON that a node puts into its message.
    return plain | {quote(text, safe="") for text in plain} | {json.dumps(text)[1:-1] for text in plain}
