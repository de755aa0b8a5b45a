"""Who may send: bearer tokens, signatures of Standard Webhooks, and those of Amazon SNS.

Tokens and keys come from settings and from a file that may change. SNS cannot send a token,
so its requests are trusted for their signature alone: the topic must be one of the settings' and the certificate must
come from Amazon's own host. Subscriptions are confirmed for these topics.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from worker.environment import clock
from worker.settings.source_groups import ServeSettings
from worker.sources.http.requests import Refused

logger = logging.getLogger(__name__)

TOLERANCE_SECONDS = 300.0
"""How far the time of a signature may be from ours."""

LOOK_SECONDS = 1.0
WEBHOOK_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is valid now."""

    tokens: tuple[bytes, ...] = ()
    keys: tuple[bytes, ...] = ()


class Access:
    """Judges requests.

    Args:
        settings: hold tokens and keys, and name the file with further ones.

    Raises:
        ValueError: the file cannot be read, or holds a line that is neither ``token …`` nor ``hmac …``.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._fixed = Secrets(
            tuple(one.get_secret_value().encode() for one in settings.tokens),
            tuple(_key(one.get_secret_value()) for one in settings.hmac_keys),
        )
        self._path = settings.secrets_file
        self._guard = threading.Lock()
        self._stamp = self._read_stamp()
        self._from_file = read_secrets(self._path) if self._path else Secrets()
        self._looked = clock.monotonic()

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a token or a signature."""
        now = self.secrets()
        return self._path is None and not now.tokens and not now.keys

    def secrets(self) -> Secrets:
        """What is valid now; a file that was changed and is wrong keeps the last good one."""
        if self._path is not None and clock.monotonic() - self._looked > LOOK_SECONDS:
            with self._guard:
                self._looked, stamp = clock.monotonic(), self._read_stamp()
                if stamp != self._stamp and stamp is not None:
                    self._stamp = stamp
                    self._read_again(self._path)
        return Secrets(self._fixed.tokens + self._from_file.tokens, self._fixed.keys + self._from_file.keys)

    def has_token(self, headers: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Whether a request bears a valid token, as ``Authorization: Bearer`` or as ``?token=``."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        offered = given.strip() if scheme.lower() == "bearer" else query.get("token", "")
        return _any_equal(offered.encode(), self.secrets().tokens)

    def has_signature(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether a body is signed with a valid key: ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``."""
        moment = headers.get("webhook-timestamp", "")
        if not moment.isdecimal() or abs(clock.now() - int(moment[:12])) > TOLERANCE_SECONDS:
            return False
        signed = f"{headers.get('webhook-id', '')}.{moment}.".encode() + body
        wanted = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in self.secrets().keys]
        given = headers.get("webhook-signature", "").split()[:10]
        # Every pair is compared, so that the time does not tell which of them was near.
        found = [_any_equal(one.partition(",")[2].encode(), tuple(wanted)) for one in given if one.startswith("v1,")]
        return any(found)

    def refuse(self) -> Refused:
        """The answer to a request that has neither."""
        fix = "send Authorization: Bearer TOKEN, or sign it as Standard Webhooks describes"
        return Refused(401, "no valid token and no valid signature", fix)

    def _read_again(self, path: Path) -> None:
        try:
            self._from_file = read_secrets(path)
        except (ValueError, OSError) as error:
            logger.error("secrets not taken over: %s", error, extra={"action": "secrets_file_wrong"})  # noqa: TRY400
        else:
            logger.info("secrets read again", extra={"action": "secrets_file_read"})

    def _read_stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat() if self._path else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size) if found else None


def read_secrets(path: Path) -> Secrets:
    """Read a file of lines ``token …`` and ``hmac …``; empty lines and lines that begin with # are left out.

    Raises:
        ValueError: another line; names its number, not its content.
        OSError: the file cannot be read.
    """
    tokens, keys = [], []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        kind, _, secret = line.strip().partition(" ")
        if kind == "token" and secret.strip():
            tokens.append(secret.strip().encode())
        elif kind == "hmac" and secret.strip():
            keys.append(_key(secret.strip()))
        elif kind and not kind.startswith("#"):
            raise ValueError(f"{path}: line {number} is neither `token SECRET` nor `hmac SECRET`")
    return Secrets(tuple(tokens), tuple(keys))


def _key(text: str) -> bytes:
    """A signing key: base64 behind ``whsec_``, as Standard Webhooks writes it, else the text itself."""
    if not text.startswith(WEBHOOK_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(WEBHOOK_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a signing key begins with whsec_ and goes on with no base64") from None


def _any_equal(given: bytes, known: tuple[bytes, ...]) -> bool:
    return any([hmac.compare_digest(given, one) for one in known])  # noqa: C419 - all are compared, whatever is found


HOST = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
FETCH_SECONDS = 5.0
MAX_CERTIFICATE = 100_000
NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
"""The keys that are signed, in the order in which they are."""

Fetch = Callable[[str], bytes]


def fetch(url: str) -> bytes:
    """The content at one of Amazon's addresses. Raises httpx.HTTPError."""
    answer = httpx.get(url, timeout=FETCH_SECONDS, follow_redirects=False)
    answer.raise_for_status()
    return answer.content[:MAX_CERTIFICATE]


class SnsMessages:
    """Checks what SNS sends.

    Args:
        topics: ARNs that are allowed.
        fetch: reads certificates and confirms subscriptions.
    """

    def __init__(self, topics: Sequence[str], fetch: Fetch = fetch) -> None:
        self._topics = frozenset(topics)
        self._fetch = fetch
        self._certificates: dict[str, bytes] = {}

    def accept(self, message: Any) -> Literal["notification", "confirmed", "left"]:
        """Check a message, and confirm the subscription that it asks to confirm.

        Raises:
            Refused: another topic, a wrong signature, or a server of Amazon's that does not answer.
        """
        if not isinstance(message, Mapping):
            raise Refused(400, "the body is no message of SNS", "send it as SNS does")
        if message.get("TopicArn") not in self._topics:
            raise Refused(403, "the topic is not allowed", "add its ARN to WORKER_SERVE__SNS_TOPICS")
        kind = message.get("Type")
        keys = NOTIFICATION if kind == "Notification" else CONFIRMATION
        self._check_signature(message, keys)
        if kind == "Notification":
            return "notification"
        if kind == "SubscriptionConfirmation":
            self._get(str(message.get("SubscribeURL", "")), "SubscribeURL")
            return "confirmed"
        return "left"

    def _check_signature(self, message: Mapping[str, Any], keys: Sequence[str]) -> None:
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        signed = "".join(f"{key}\n{message[key]}\n" for key in keys if message.get(key) is not None)
        digest = hashes.SHA256() if message.get("SignatureVersion") == "2" else hashes.SHA1()  # noqa: S303 - SNS' version 1
        try:
            certificate = x509.load_pem_x509_certificate(self._certificate(str(message.get("SigningCertURL", ""))))
            key: Any = certificate.public_key()
            signature = base64.b64decode(str(message.get("Signature", "")), validate=True)
            key.verify(signature, signed.encode(), padding.PKCS1v15(), digest)
        except (InvalidSignature, binascii.Error, ValueError, TypeError):
            raise Refused(401, "the signature of the SNS message is wrong", "send what SNS has signed") from None

    def _certificate(self, url: str) -> bytes:
        if url not in self._certificates:
            if len(self._certificates) >= 20:
                self._certificates.clear()
            self._certificates[url] = self._get(url, "SigningCertURL")
        return self._certificates[url]

    def _get(self, url: str, name: str) -> bytes:
        try:
            parts = urlsplit(url)
            is_amazon = parts.scheme == "https" and bool(HOST.fullmatch(parts.netloc))
        except ValueError:
            is_amazon = False
        if not is_amazon:
            raise Refused(403, f"{name} is no address of Amazon SNS", "send what SNS has sent")
        try:
            return self._fetch(url)
        except httpx.HTTPError as error:
            problem = f"{name} cannot be read: {type(error).__name__}"
            raise Refused(503, problem, "send it again", retry_after=5) from None
