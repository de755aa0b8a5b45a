"""The SQS source: messages are deleted when they are in the inbox; the queue's own redrive is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.environment import clock
from worker.intake import RawMessage
from worker.settings.source_groups import SqsSettings
from worker.settings.tree import Settings
from worker.sources.base import GivenBack, ReceivingSource, SourceError
from worker.sources.wrapped import messages_in
from worker.tracing import TRACE_FIELDS

AT_ONCE = 10
"""Most messages that SQS gives, deletes or extends in one call."""
WAIT_SECONDS = 1


class SqsReceiver:
    """Receives from the queues in turn.

    Args:
        settings: queues, region and how long a message is ours.
        pairs: whether logged requests and responses are joined.
    """

    def __init__(self, settings: SqsSettings, *, pairs: bool) -> None:
        self._settings = settings
        self._pairs = pairs
        self._client: Any = None
        self._next_queue = 0
        self._url = ""
        self._taken: list[dict[str, Any]] = []
        self._extended_at = 0.0

    def open(self) -> None:
        """Make a client; credentials are found as AWS' own tools find them."""
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2, "mode": "standard"})
        try:
            self._client = boto3.client(
                "sqs", region_name=self._settings.region, endpoint_url=self._settings.endpoint_url, config=config
            )
        except (BotoCoreError, ValueError) as error:
            raise SourceError(f"SQS: {error}") from error

    def receive(self) -> Sequence[RawMessage]:
        """The next messages of the next queue."""
        urls = self._settings.queue_urls
        self._url = urls[self._next_queue % len(urls)]
        self._next_queue += 1
        answer = self._call(
            "receive_message",
            MaxNumberOfMessages=AT_ONCE,
            WaitTimeSeconds=WAIT_SECONDS if len(urls) == 1 else 0,
            VisibilityTimeout=self._settings.visibility_seconds,
            MessageAttributeNames=list(TRACE_FIELDS),
        )
        self._extended_at = clock.monotonic()
        self._taken = answer.get("Messages", [])
        return [raw for message in self._taken for raw in self._read(message)]

    def acknowledge(self) -> None:
        """Delete what was received."""
        taken, self._taken = self._taken, []
        answer = self._call("delete_message_batch", Entries=[_entry(place, one) for place, one in enumerate(taken)])
        if answer.get("Failed"):
            raise SourceError(f"SQS does not delete: {answer['Failed'][0].get('Code')}")

    def rest(self) -> None:
        """Keep what was received invisible to others."""
        if not self._taken or clock.monotonic() - self._extended_at < self._settings.visibility_seconds / 3:
            return
        self._extended_at = clock.monotonic()
        entries = [
            {**_entry(place, one), "VisibilityTimeout": self._settings.visibility_seconds}
            for place, one in enumerate(self._taken)
        ]
        if self._call("change_message_visibility_batch", Entries=entries).get("Failed"):
            raise GivenBack("messages that could not be taken in time are visible to others again")

    def lag(self) -> int:
        """Messages in the queues, about: those that others have received are left out."""
        name, total = "ApproximateNumberOfMessages", 0
        for url in self._settings.queue_urls:
            self._url = url
            total += int(self._call("get_queue_attributes", AttributeNames=[name])["Attributes"][name])
        return total

    def close(self) -> None:
        """End the client's connections."""
        if self._client is not None:
            self._client.close()

    def _call(self, operation: str, **options: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found: dict[str, Any] = getattr(self._client, operation)(QueueUrl=self._url, **options)
        except (BotoCoreError, ClientError) as error:
            raise SourceError(f"SQS: {error}") from error
        return found

    def _read(self, message: dict[str, Any]) -> list[RawMessage]:
        body = message["Body"].encode("utf-8", "surrogatepass")
        return messages_in(body, message["MessageId"], _headers(message), pairs=self._pairs)


def _headers(message: dict[str, Any]) -> dict[str, str]:
    attributes = message.get("MessageAttributes") or {}
    return {name: str(value.get("StringValue") or "") for name, value in attributes.items()}


def _entry(place: int, message: dict[str, Any]) -> dict[str, Any]:
    return {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}


def sqs_source(settings: Settings) -> ReceivingSource:
    """The SQS source that the settings describe.

    Raises:
        ValueError: no queue is named, or the extra is not installed.
    """
    if not settings.sqs.queue_urls:
        raise ValueError("the sqs source needs WORKER_SQS__QUEUE_URLS")
    try:
        import boto3  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError("the sqs source needs pip install 'kili-prediction-worker[sqs]'") from None
    pairs = settings.kserve.mode == "all"
    return ReceivingSource("sqs", lambda: SqsReceiver(settings.sqs, pairs=pairs))
