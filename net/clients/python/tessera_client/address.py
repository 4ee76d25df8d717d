"""Addresses of services and brokers."""

from urllib.parse import SplitResult, urlsplit


def checked_address(url: str, like: str) -> SplitResult:
    """Splits a URL with a host. Throws ValueError, which says what is wrong, and holds neither a password nor a token."""
    shown = url.partition("://")[0] + "://..." if "@" in url else url.partition("?")[0]

    def refuse(what: str) -> ValueError:
        return ValueError(f"url is {shown!r}{what}, and must be like {like}")

    try:
        parts = urlsplit(url)
    except ValueError as e:  # a [ without its ]
        raise refuse(f" ({e})") from None
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise refuse(", whose port is no number from 1 to 65535")
    if not parts.hostname:
        raise refuse("")
    return parts
