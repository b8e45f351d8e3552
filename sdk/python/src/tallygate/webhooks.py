"""Verifying signed calls: Standard Webhooks 1.0 (https://www.standardwebhooks.com), as Tallygate signs its calls to
upstream services."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from typing import Any, Iterable, Optional, Protocol, Tuple, Union

from .errors import InvalidWebhookError

#: How many seconds a timestamp may be old or early.
TOLERANCE = 5 * 60


class Headers(Protocol):
    """Headers as any framework has them."""

    def items(self) -> Iterable[Tuple[str, Any]]:
        """Names, in any case, and values."""
        ...


def verify(payload: Union[bytes, str], headers: Headers, secret: str, *, now: Optional[float] = None) -> None:
    """Checks that who sent ``payload`` knows ``secret``, and sent it within the last five minutes.

    ``payload`` is the request's body as it came: parse it afterwards. Raises :class:`InvalidWebhookError` if anything
    is not as it should be; ``now`` is the time in seconds since 1970, by default the clock's.
    """
    body = payload.encode("utf-8") if isinstance(payload, str) else payload
    given = {name.lower(): str(value) for name, value in headers.items()}
    message_id, timestamp, signatures = (
        given.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    )
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if not given.get(name)]
    if missing:
        raise InvalidWebhookError(f"the header {missing[0]} is missing")
    if re.fullmatch(r"[0-9]{1,18}", timestamp) is None:
        raise InvalidWebhookError("the header webhook-timestamp is not a time in whole seconds")
    age = (time.time() if now is None else now) - int(timestamp)
    if abs(age) > TOLERANCE:
        raise InvalidWebhookError(f"the timestamp is {abs(age):.0f} s {'old' if age > 0 else 'early'}")
    expected = hmac.new(_key(secret), f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    matches = False
    for signature in signatures.split(" "):
        version, _, value = signature.partition(",")
        if version == "v1":
            matches |= hmac.compare_digest(expected, _decoded(value))
    if not matches:
        raise InvalidWebhookError("no signature fits: another secret, or another body")


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _key(secret: str) -> bytes:
    """The key of a secret: whsec_ and base64, or the secret as it stands."""
    if not secret:
        raise InvalidWebhookError("the secret is empty, so nothing can be signed with it")
    if secret.startswith("whsec_"):
        return _decoded(secret[len("whsec_") :]) or secret.encode("utf-8")
    return secret.encode("utf-8")
