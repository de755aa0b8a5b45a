"""Amazon SNS over HTTP: signatures, and the confirmation of subscriptions to allowed topics.

SNS cannot send a token, so its requests are trusted for their signature alone: the topic must be one of the settings'
and the certificate must come from Amazon's own host.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from worker.sources.http.problems import Refused

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
