"""Kafka over TLS, with certificates that are checked, and a login that is refused, against a real broker.

The broker speaks plain text behind a server that ends TLS; it advertises that server's address. The build of it that
the tests have keeps no users, so that of SASL only a refusal is shown.
"""

from __future__ import annotations

import contextlib
import datetime
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient, NewTopic
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.awaiting import awaited, free_port, listens
from tests.conformance.sources.worlds import TANSU, Kafka
from tests.faults.tls import CERTIFICATE, TlsFront
from worker.cli import main
from worker.settings.tree import Settings
from worker.sources.base import SourceError
from worker.sources.kafka import KafkaReceiver, kafka_source

pytestmark = [pytest.mark.skipif(bool(Kafka.absent), reason=Kafka.absent), pytest.mark.timeout(300)]
SAME_HOST = "127.1"
"""The same address in other letters: no certificate names it."""


@contextlib.contextmanager
def broker(port: int, advertised: int, *options: str) -> Iterator[None]:
    """The broker on a port, which sends its clients to another."""
    command = [str(TANSU), "broker", "--storage-engine", "memory://tansu/", "--silent", *options]
    command += ["--listener-url", f"tcp://127.0.0.1:{port}", "--advertised-listener-url"]
    server = subprocess.Popen(
        [*command, f"tcp://127.0.0.1:{advertised}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        awaited(lambda: listens(port), "the broker listens", limit=100)
        yield
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def secured(authority: Path | None = None) -> Iterator[TlsFront]:
    """A broker with a topic behind TLS."""
    port = free_port()
    with TlsFront(port, authority) as front, broker(port, front.port):
        trust = {"ssl.ca.location": str(CERTIFICATE)}
        if authority is not None:
            trust |= {"ssl.certificate.location": str(CERTIFICATE), "ssl.key.location": str(CERTIFICATE)}
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{front.port}", "security.protocol": "ssl", **trust})
        for made in admin.create_topics([NewTopic("predictions", 1, 1)]).values():
            made.result(60)
        yield front


@pytest.fixture(scope="module")
def front() -> Iterator[TlsFront]:
    with secured() as one:
        yield one


def use(monkeypatch: pytest.MonkeyPatch, port: int, *, host: str = "127.0.0.1", **settings: object) -> None:
    """Set what the user sets."""
    named = {"brokers": f"{host}:{port}", "topics": "predictions", "security_protocol": "ssl", **settings}
    named.setdefault("options", "session.timeout.ms=6000")
    for name, value in named.items():
        monkeypatch.setenv(f"WORKER_KAFKA__{name.upper()}", str(value))


def published(folder: Path) -> tuple[int, str]:
    """Exit code and output of ``publish`` with one message."""
    path = folder / "predictions.jsonl"
    path.write_text('{"external_id": "a"}\n')
    done = CliRunner().invoke(main, ["publish", str(path), "--via", "kafka", "--quiet"])
    return done.exit_code, done.output


def received() -> list[bytes]:
    """What the source takes by the settings."""
    receiver = KafkaReceiver(Settings().kafka, pairs=False)
    try:
        receiver.open()
        found: list[bytes] = []
        while not found:
            found = [message.body for message in receiver.receive()]
        receiver.acknowledge()
        return found
    finally:
        receiver.close()


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of an authority that has signed nothing here."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another authority")])
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin.replace(year=2120))
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def test_a_certificate_that_is_trusted_is_taken(
    front: TlsFront, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, front.port, ssl_ca_file=CERTIFICATE)
    assert published(tmp_path) == (0, "1 prediction sent\n")
    assert received() == [b'{"external_id": "a"}']


def test_a_certificate_of_another_authority_is_refused_and_the_cause_is_told(
    front: TlsFront, stranger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, front.port, ssl_ca_file=stranger)
    with pytest.raises(SourceError, match="certificate"):
        received()
    code, text = published(tmp_path)
    assert (code, "took 0 predictions" in text, "certificate" in text) == (1, True, True), text


def test_a_certificate_that_nobody_has_named_is_refused(front: TlsFront, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, front.port)
    with pytest.raises(SourceError, match="certificate"):
        received()


def test_a_certificate_of_another_host_is_refused(front: TlsFront, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, front.port, host=SAME_HOST, ssl_ca_file=CERTIFICATE)
    with pytest.raises(SourceError, match="certificate verify failed"):
        received()
    use(monkeypatch, front.port, host=SAME_HOST, options="ssl.endpoint.identification.algorithm=none")
    receiver = KafkaReceiver(Settings().kafka, pairs=False)
    receiver.open()
    receiver.close()


def test_a_file_of_certificates_that_is_not_there_is_named(
    front: TlsFront, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, front.port, ssl_ca_file=tmp_path / "absent.pem")
    with pytest.raises(SourceError, match=r"WORKER_KAFKA__SSL_CA_FILE.*absent.pem"):
        received()
    with pytest.raises(ValueError, match=r"WORKER_KAFKA__SSL_CA_FILE.*absent.pem"):
        kafka_source(Settings())
    code, text = published(tmp_path)
    assert (code, "absent.pem" in text) == (1, True), text


def test_a_broker_that_asks_for_it_is_shown_the_worker_s_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with secured(CERTIFICATE) as front:
        use(monkeypatch, front.port, ssl_ca_file=CERTIFICATE)
        with pytest.raises(SourceError, match=r"certificate|SSL"):
            received()
        use(
            monkeypatch,
            front.port,
            ssl_ca_file=CERTIFICATE,
            ssl_certificate_file=CERTIFICATE,
            ssl_key_file=CERTIFICATE,
        )
        assert published(tmp_path) == (0, "1 prediction sent\n")
        assert received() == [b'{"external_id": "a"}']


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_that_the_broker_refuses_is_told_with_its_reason(
    mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    with broker(port, port, "--authentication"):
        use(
            monkeypatch,
            port,
            security_protocol="sasl_plaintext",
            sasl_mechanism=mechanism,
            sasl_username="worker",
            sasl_password="secret",
        )
        with pytest.raises(SourceError, match="unknown-user"):
            received()
