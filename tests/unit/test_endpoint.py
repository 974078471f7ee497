"""A node's URL: what connections need of it, and what may be shown and kept of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensetrail.chain.endpoint import LONGEST_FOREIGN_TEXT, parse_endpoint
from sensetrail.errors import InputError

HEX, UUID = "0123456789abcdef0123456789abcdef", "550e8400-e29b-41d4-a716-446655440000"


@pytest.mark.parametrize(
    ("url", "name", "host", "port", "target"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545", "127.0.0.1", 8545, "/"),
        (" http://127.0.0.1:8545/\n", "http://127.0.0.1:8545", "127.0.0.1", 8545, "/"),
        ("HTTPS://Node.Example", "https://node.example", "node.example", 443, "/"),
        ("https://node.example./a b?c".replace(" ", "%20"), "https://node.example", "node.example", 443, "/a%20b?c"),
        ("http://[::1]:8545/x", "http://[::1]:8545", "::1", 8545, "/x"),
        ("http://[fe80::1%25eth0]", "http://[fe80::1%eth0]", "fe80::1%eth0", 80, "/"),
        (
            "http://küche.example/ä?ö=ü",
            "http://xn--kche-0ra.example",
            "xn--kche-0ra.example",
            80,
            "/%C3%A4?%C3%B6=%C3%BC",
        ),
        ("http://my_node-1:80", "http://my_node-1:80", "my_node-1", 80, "/"),
        ("http://me:p%40ss@h", "http://h", "h", 80, "/"),
    ],
)
def test_what_a_connection_needs(url: str, name: str, host: str, port: int, target: str) -> None:
    found = parse_endpoint(url)
    assert (found.name, found.host, found.port, found.target) == (name, host, port, target)


@pytest.mark.parametrize(
    ("login", "authorization"),
    [
        ("me:secret@", "bWU6c2VjcmV0"),
        ("me:p%40ss%2Fw@", "bWU6cEBzcy93"),
        ("me@", "bWU6"),
        (":secret@", "OnNlY3JldA=="),
        ("m%C3%A9:a:b@", "bcOpOmE6Yg=="),
        ("me:p@ss@", "bWU6cEBzcw=="),
    ],
)
def test_user_and_password_are_percent_decoded(login: str, authorization: str) -> None:
    assert parse_endpoint(f"http://{login}h").authorization == f"Basic {authorization}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8545",
        "geheim",
        "ftp://geheim@h",
        "ws://geheim@h",
        "file:///geheim",
        "http://",
        "http://:80",
        "http://geheim@",
        "http://h:99999/geheim",
        "http://h:0/geheim",
        "http://h:port/geheim",
        "http://me:geh/eim@h",
        "http://me:1/geheim@h",
        "http://me:geh?eim@h",
        "http://me:geh#eim@h",
        "http://[::1/geheim",
        "http://[geheim]/",
        "http://a..b/geheim",
        "http://" + "a" * 64 + ".b/geheim",
        "http://h/ge heim",
        "http://h/geheim\r\nX: y",
        "http://h\n.geheim",
        "http://h\x00/geheim",
        "http://ge!heim/",
        "http://[fe80::1%25gehé]/",
        "http://h/geheim\udcff",
        "http://me:geheim\udcff@h",
        "http://geheim\udcff/",
        "http://h/?geheim=\udcff",
    ],
)
def test_what_is_no_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_endpoint(url)
    assert "eim" not in caught.value.what + caught.value.to_do
    assert "geh" not in caught.value.what + caught.value.to_do


@pytest.mark.parametrize(
    ("url", "public", "is_shortened"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545", False),
        ("http://127.0.0.1:8545/", "http://127.0.0.1:8545", False),
        ("https://rpc.example/eth/mainnet", "https://rpc.example/eth/mainnet", False),
        ("https://rpc.example/ext/bc/C/rpc", "https://rpc.example/ext/bc/C/rpc", False),
        ("https://rpc.example/11155111", "https://rpc.example/11155111", False),
        ("https://rpc.example/polygon-mainnet/v1/rpc", "https://rpc.example/polygon-mainnet/v1/rpc", False),
        ("https://me:secret@rpc.example/eth", "https://rpc.example/eth", True),
        ("https://me@rpc.example", "https://rpc.example", True),
        ("https://rpc.example/eth?key=secret", "https://rpc.example/eth", True),
        ("https://rpc.example/eth#secret", "https://rpc.example/eth", True),
        (f"https://rpc.example/v3/{HEX}", "https://rpc.example/v3", True),
        ("https://rpc.example/v3/secretsecret", "https://rpc.example/v3", True),
        ("https://rpc.example/v2/aBcD1234-_xYz", "https://rpc.example/v2", True),
        (f"https://rpc.example/{HEX}{HEX[:8]}/", "https://rpc.example", True),
        (f"https://rpc.example/eth/{UUID}/mainnet", "https://rpc.example/eth/mainnet", True),
        ("https://rpc.example/eth/qwertyuiopasdfghjkl", "https://rpc.example/eth", True),
        ("https://rpc.example/eth/a%2Fb", "https://rpc.example/eth", True),
        ("https://rpc.example/token=secret/eth", "https://rpc.example/eth", True),
        (f"https://{HEX}.eth.rpc.example:8/eth", "https://eth.rpc.example:8/eth", True),
        (f"https://{UUID}.rpc.example", "https://rpc.example", True),
        ("https://ec2-203-0-113-25.compute-1.rpc.example", "https://ec2-203-0-113-25.compute-1.rpc.example", False),
        ("http://ethereumarchivenode01.a.example", "http://ethereumarchivenode01.a.example", False),
    ],
)
def test_what_is_kept_of_a_url(url: str, public: str, is_shortened: bool) -> None:
    found = parse_endpoint(url)
    assert (found.public_url, found.is_shortened) == (public, is_shortened)
    assert parse_endpoint(public).public_url == public
    assert not parse_endpoint(public).is_shortened


URL = f"https://me:p%40ss%2Fw@rpc.example:8/v3/{HEX}?key=s3cr3t&chain=ab#frag"
SECRETS = ["p%40ss%2Fw", "p@ss/w", HEX, "s3cr3t", "bWU6cEBzcy93", "frag", HEX.upper()]


def test_no_secret_is_in_what_is_shown() -> None:
    found = parse_endpoint(URL)
    shown = f"{found!r} {found} {found.name} {found.public_url}"
    for secret in (*SECRETS, "me:"):
        assert secret not in shown
    assert found.url == URL


@pytest.mark.parametrize("secret", SECRETS)
def test_foreign_text_is_shown_without_secrets(secret: str) -> None:
    found = parse_endpoint(URL)
    assert found.foreign_text(f"bad key {secret}!") == "bad key ***!"
    assert found.foreign_text(f"see {URL}") == "see https://rpc.example:8/v3/***?***#***"
    assert found.foreign_text("http://other:geheim@host failed") == "http://host failed"


def test_a_key_in_the_hosts_name_is_not_shown() -> None:
    found = parse_endpoint(f"https://{HEX}.eth.rpc.example:8/")
    assert (found.name, found.host) == ("https://***.eth.rpc.example:8", f"{HEX}.eth.rpc.example")
    assert found.foreign_text(f"no certificate for {HEX}.eth.rpc.example") == "no certificate for ***.eth.rpc.example"


def test_a_secret_is_hidden_as_json_spells_it() -> None:
    found = parse_endpoint("http://me:p%C3%A4ss%22word%5C@h")
    for spelling in (r"p\u00e4ss\"word\\", 'päss"word\\', "p%C3%A4ss%22word%5C"):
        assert found.foreign_text(f"bad key {spelling}!") == "bad key ***!"


def test_a_short_secret_makes_no_holes_in_words() -> None:
    found = parse_endpoint("http://me:ab@h")
    assert found.foreign_text("able, the name of me is ab") == "able, the name of *** is ***"


def test_foreign_text_is_one_short_line() -> None:
    found = parse_endpoint("http://h")
    assert found.foreign_text("\x1b[31m\n\u202e\u2028\ud800") == r"\x1b[31m\x0a\u202e\u2028\ud800"
    assert len(found.foreign_text("x" * 10**6)) == LONGEST_FOREIGN_TEXT


@given(st.text(), st.text(min_size=1), st.text(min_size=4), st.text())
def test_anything_is_a_url_or_refused(start: str, user: str, password: str, rest: str) -> None:
    for url in (start, f"http://{start}", f"http://{user}:{password}@host{rest}"):
        try:
            found = parse_endpoint(url)
        except InputError as error:
            assert password not in error.what
            continue
        assert found.target.isascii()
        assert found.host.isascii()
        assert "@" not in found.name + found.public_url
