"""Notices of SageMaker's asynchronous inference, over SNS in SQS."""

from __future__ import annotations

import base64
import json
from typing import Any

import boto3
import pytest
from moto import mock_aws

from worker.intake import MessageParser, Rules
from worker.intake.parsing import ParsedPrediction
from worker.projects.configuration import Projects
from worker.settings.source_groups import SqsSettings
from worker.sources.sqs import SqsReceiver
from worker.sources.wrapped import messages_in
from worker.spool import Dead

REGION = "eu-west-1"


def notice(status: str = "Completed", **changes: Any) -> dict[str, Any]:
    """As SageMaker publishes it, with the response included."""
    body = base64.b64encode(b'{"predictions": [{"scores": [0.9, 0.1], "classes": ["RED", "BLACK"]}]}').decode()
    return {
        "awsRegion": REGION,
        "eventTime": "2026-11-23T10:15:00.608Z",
        "receivedTime": "2026-11-23T10:14:58.455Z",
        "invocationStatus": status,
        "requestParameters": {"endpointName": "cars", "inputLocation": "s3://bucket/in/1.jpg"},
        "responseParameters": {"contentType": "application/json", "outputLocation": "s3://bucket/out/1.out"},
        "responseBody": {"content": body, "encoding": "BASE64"},
        "inferenceId": "cam-3/000123.jpg",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
        **changes,
    }


def understood(body: bytes) -> ParsedPrediction | Dead:
    rules = Rules(default_project="p")
    (found,) = MessageParser(rules, Projects(None)).of_original("message", body)
    return found


@mock_aws
def test_a_notice_over_sns_in_sqs_is_a_prediction_of_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    sqs, sns = (boto3.client(name, region_name=REGION) for name in ("sqs", "sns"))
    url = sqs.create_queue(QueueName="predictions")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name="results")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.publish(TopicArn=topic, Message=json.dumps(notice()))
    receiver = SqsReceiver(SqsSettings(queue_urls=[url], region=REGION), pairs=True)
    receiver.open()
    (raw,) = receiver.receive()
    receiver.acknowledge()
    receiver.close()
    found = understood(raw.body)
    assert isinstance(found, ParsedPrediction)
    assert (found.project, found.model) == ("p", "cars:unversioned")
    assert json.loads(found.message)["external_id"] == "cam-3/000123.jpg"


@pytest.mark.parametrize(
    ("sent", "field", "words"),
    [
        (notice("Failed", failureReason="ClientError: no such image"), "output.", "no such image"),
        (notice(requestParameters=None), "model", "is missing"),
        (notice(eventTime=None), "predicted_at", "is missing"),
    ],
    ids=["failed", "no-endpoint", "no-time"],
)
def test_a_notice_that_holds_no_prediction_is_a_dead_letter_that_says_why(
    sent: dict[str, Any], field: str, words: str
) -> None:
    (raw,) = messages_in(json.dumps(sent).encode(), "id", pairs=True)
    found = understood(raw.body)
    assert isinstance(found, Dead)
    letter = json.loads(found.letter)
    assert letter["field"].startswith(field)
    assert words in letter["problem"]


def test_a_message_with_a_notice_as_its_payload_stays_as_it_is() -> None:
    sent = {"external_id": "a", "model": {"name": "m", "version": "2"}, "output": {"payload": notice()}}
    (raw,) = messages_in(json.dumps(sent).encode(), pairs=True)
    assert json.loads(raw.body) == sent
