"""Only URLs that every parser reads alike are ever fetched."""

from __future__ import annotations

import pytest

from tokenguard._urls import parse_url


@pytest.mark.parametrize(
    "url",
    [
        "https://as.example.com",
        "https://as.example.com/",
        "https://as.example.com:8443/realms/a-b_c~d.e/%C3%A9?x=1&y=/?",
        "https://192.0.2.1/",
        "https://[2001:db8::1]/x",
        "http://localhost:8080/x",
        "http://LOCALHOST/x",
        "http://127.0.0.1/x",
        "http://127.255.0.9:1/x",
        "http://[::1]:9/x",
    ],
)
def test_a_plain_url_passes(url: str) -> None:
    parts = parse_url(url)
    assert parts.origin + parts.path + parts.query == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "as.example.com",
        "//as.example.com",
        "HTTPS://as.example.com",
        "ftp://as.example.com",
        "file:///etc/passwd",
        "data:,x",
        "https://",
        "https:///x",
        "https://as.example.com:0/",
        "https://as.example.com:65536/",
        "https://as.example.com:/",
        "https://as.example.com#x",
        "https://user@as.example.com",
        "https://as.example.com\\@evil.example",
        "https://as.example.com /",
        " https://as.example.com",
        "https://as.example.com\n",
        "https://as.example.com/a b",
        "https://as.example.com/%zz",
        "https://as.ex\u00e4mple.com",
        "https://as.example.com./",
        "https://[::1/",
        "http://as.example.com",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://notlocalhost/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/",
        "http://10.0.0.1/",
        "http://[::1%25lo]/",
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not a plain https URL|has an impossible port|is plain http"):
        parse_url(url)


def test_http_goes_anywhere_once_the_operator_said_so() -> None:
    assert parse_url("http://as.example.com", allow_insecure_http=True).scheme == "http"
