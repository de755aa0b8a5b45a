"""Formats as data: what a mapping may say, how its failures are told, and that it can do no harm."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.reference.formats import shipped_examples
from worker.formats import Catalogue, MappingError, OutputError, ReadOptions, extended, read_payload
from worker.formats.checks import AmbiguousFormat, UnknownFormat
from worker.formats.mappings import FormatMapping, MappingFailed, parse_mappings, shipped
from worker.formats.mappings.examples import ExampleResult, difference, run_tests, summary
from worker.formats.mappings.process import JqProcess, JqUnavailable, MappingJob

WAREHOUSE = {
    "keys": ["dets"],
    "read": "{boxes: [.dets[] | {label: .cls, score: .p, box: .at}]}",
    "units": "relative",
}
PAYLOAD = {"dets": [{"cls": "pallet", "p": 0.9, "at": [0.1, 0.2, 0.3, 0.4]}]}

EXAMPLES = shipped_examples()


@pytest.fixture(scope="module")
def quick() -> Iterator[JqProcess]:
    """A process that may take a fifth of a second."""
    process = JqProcess(seconds=0.2)
    yield process
    process.close()


def catalogue(process: JqProcess | None = None, **tables: dict[str, Any]) -> Catalogue:
    mappings = parse_mappings(tables or {"warehouse": WAREHOUSE}).values()
    return Catalogue(mappings, process) if process else Catalogue(mappings)


def read(payload: Any, known: Catalogue, **options: Any) -> list[dict[str, Any]]:
    reading = read_payload(payload, ReadOptions(mappings=known, **options))
    return [summary(output) for output in reading.outputs]


# --- the shipped ones ---


@pytest.mark.parametrize("name", list(shipped().mappings))
def test_a_shipped_mapping_passes_the_tests_beside_it(name: str) -> None:
    found = list(run_tests(shipped(), [name], EXAMPLES))
    assert [one for one in found if one.problem] == []


def test_every_test_beside_the_shipped_mappings_is_of_one_that_is_shipped() -> None:
    assert EXAMPLES.keys() == shipped().mappings.keys()


def test_every_shipped_mapping_can_be_read_when_it_is_named_too() -> None:
    for name, examples in EXAMPLES.items():
        first = next((one for one in examples if not one.refused), None)
        if (
            first is None
            or shipped().mappings[name].inside
            or (isinstance(first.payload, dict) and "predictions" in first.payload)
        ):
            continue
        options = dict(first.options)
        if "image_size" in options:
            options["image_size"] = tuple(options["image_size"])
        assert read_payload(first.payload, ReadOptions(format=name, **options)).outputs, name


def test_every_shipped_expression_compiles() -> None:
    shipped().check()


def test_a_payload_whose_keys_no_mapping_names_costs_no_process() -> None:
    for payload in (
        [{"label": "a", "score": 0.9}],
        [{"label": "a", "score": 0.9, "box": {"xmin": 1, "ymin": 1, "xmax": 2, "ymax": 2}}],
        [{"name": "a", "class": 0, "confidence": 0.9, "box": {"x1": 1, "y1": 1, "x2": 2, "y2": 2}}],
        {"model_name": "m", "outputs": [{"name": "p", "shape": [1, 2], "datatype": "FP32", "data": [0.1, 0.9]}]},
        {"boxes": [], "labels": [], "scores": []},
        [[0.1, 0.9]],
        {"tabby": 0.9, "tiger": 0.1},
        {"choices": [{"message": {"content": "a"}}]},
    ):
        assert shipped().candidates(payload) == [], payload


# --- a mapping of one's own ---


def test_a_mapping_gives_the_short_form() -> None:
    [found] = read(PAYLOAD, catalogue())
    assert difference(found, {"objects": [{"label": "pallet", "score": 0.9, "box": [0.1, 0.2, 0.3, 0.4]}]}, "") == ""


def test_the_reading_names_the_mapping_that_matched() -> None:
    reading = read_payload(PAYLOAD, ReadOptions(mappings=catalogue()))
    assert reading.format == "warehouse"
    assert "mapping warehouse" in reading.why


def test_a_list_of_objects_is_one_item_each_unless_the_mapping_says_otherwise() -> None:
    rows = [{"cls": "a", "p": 0.9}, {"cls": "b", "p": 0.8}]
    each = {"keys": ["cls", "p"], "read": "{labels: [{label: .cls, score: .p}]}"}
    assert len(read(rows, catalogue(one=each))) == 2
    listed = {"keys": ["cls", "p"], "each": "list", "exclusive": False, "read": "{scores: (map({(.cls): .p}) | add)}"}
    assert read(rows, catalogue(one=listed)) == [{"scores": {"a": 0.9, "b": 0.8}}]
    assert len(read([rows, rows], catalogue(one=listed))) == 2
    whole = {"keys": ["cls", "p"], "each": "payload", "read": "map({labels: [.cls]})"}
    assert len(read(rows, catalogue(one=whole))) == 2


def test_a_row_of_predictions_is_recognised_and_its_evidence_names_the_mapping() -> None:
    reading = read_payload({"predictions": [PAYLOAD]}, ReadOptions(mappings=catalogue()))
    assert reading.format == "tf-serving-rows"
    assert reading.outputs[0].evidence["mapping"] == "warehouse"


def test_an_envelope_hands_on_what_it_holds_untouched() -> None:
    envelope = {"keys": ["body", "sent"], "inside": ".body.result"}
    payload = {"sent": 1, "body": {"result": {"predictions": [[1.0]]}}}
    with pytest.raises(OutputError, match=r"payload\.body\.result\.predictions.*1\.0 alone"):
        read(payload, catalogue(wrapped=envelope))


def test_options_of_the_message_are_known_to_the_expressions() -> None:
    mapping = {"keys": ["v"], "read": 'if $options.field == "x" then {labels: ["yes"]} else {labels: ["no"]} end'}
    assert read({"v": 1}, catalogue(one=mapping), field="x") == [{"scores": {"yes": None}}]
    assert read({"v": 1}, catalogue(one=mapping)) == [{"scores": {"no": None}}]


def test_a_mapping_may_refuse_and_say_why() -> None:
    mapping = {"keys": ["v"], "read": '{refuse: "v is \\(.v)", fix: "send w"}'}
    with pytest.raises(OutputError, match="payload: v is 1; send w"):
        read({"v": 1}, catalogue(one=mapping))


# --- failures ---


def test_a_failing_expression_is_named_with_mapping_and_place() -> None:
    with pytest.raises(
        MappingFailed, match=r"payload: mapping warehouse, expression `read`: Cannot iterate over number"
    ):
        read({"dets": 3}, catalogue())


@pytest.mark.parametrize(
    ("expression", "told"), [("empty", "gives nothing"), ("{labels: [.a, .b][]}", "gives 2 results")]
)
def test_one_result_per_item(expression: str, told: str) -> None:
    mapping = {"keys": ["a"], "read": expression}
    with pytest.raises(MappingFailed, match=told):
        read({"a": "x", "b": "y"}, catalogue(one=mapping))


def test_a_mapping_whose_when_is_not_true_is_named_and_naming_it_says_why() -> None:
    known = catalogue(warehouse={**WAREHOUSE, "when": ".dets | length > 0"})
    with pytest.raises(UnknownFormat, match="keys of the mapping warehouse, but its `when` is not true"):
        read({"dets": []}, known)
    failing = catalogue(warehouse={**WAREHOUSE, "when": ".dets.a.b"})
    with pytest.raises(MappingFailed, match="expression `when`: Cannot index"):
        read(PAYLOAD, failing, format="warehouse")


def test_a_process_that_does_not_start_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(JqUnavailable, match="does not start"):
        read(PAYLOAD, catalogue(JqProcess()))


def test_a_wrong_short_form_is_told_by_the_path_in_it() -> None:
    with pytest.raises(OutputError, match=r"payload\.<warehouse>\.boxes\[0\]\.box: 3 numbers"):
        read({"dets": [{"cls": "a", "p": 0.9, "at": [0.1, 0.2, 0.3]}]}, catalogue())


def test_two_mappings_that_recognise_one_payload_are_refused_and_both_named() -> None:
    known = catalogue(one=WAREHOUSE, two=WAREHOUSE)
    with pytest.raises(AmbiguousFormat) as refused:
        read(PAYLOAD, known)
    assert refused.value.families == ("one", "two")
    assert len(read(PAYLOAD, known, format="two")) == 1


def test_a_mapping_and_a_built_in_format_that_both_fit_are_refused_and_both_named() -> None:
    mapping = {"keys": ["label", "score"], "read": "{labels: [.label]}"}
    with pytest.raises(AmbiguousFormat) as refused:
        read([{"label": "a", "score": 0.9}], catalogue(mine=mapping))
    assert set(refused.value.families) == {"mine", "hf-classification"}


def test_a_catch_all_yields_to_a_mapping() -> None:
    mapping = {"keys": ["predictions", "mine"], "read": "{labels: [.mine]}"}
    assert read({"predictions": [[1]], "mine": "a"}, catalogue(mine=mapping)) == [{"scores": {"a": None}}]


def test_a_whole_number_that_jq_cannot_keep_is_refused() -> None:
    mapping = {"keys": ["id"], "read": '{labels: ["a"], evidence: {id}}'}
    with pytest.raises(MappingFailed, match=r"2\^53"):
        read({"id": 2**53 + 1}, catalogue(one=mapping))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"read": "{}"}, r"formats\.x\.keys: needs keys, when or both"),
        ({"keys": ["a"]}, r"formats\.x\.read: needs read"),
        ({"keys": ["a"], "read": "."}, ""),
        ({"keys": "a", "read": "."}, r"formats\.x\.keys: must be a list"),
        ({"keys": ["a"], "read": ".", "unit": "pixel"}, r"formats\.x\.unit: is no key of a mapping"),
        ({"keys": ["a"], "read": ".", "each": "row"}, r"formats\.x\.each: must be one of object, list, payload"),
        ({"keys": ["a"], "inside": ".a", "units": "pixel"}, r"formats\.x\.inside: an envelope has no options"),
        ({"keys": ["a"], "read": ".", "tests": [{"payload": 1}]}, r"formats\.x\.tests\[0\]: needs payload, and either"),
        ({"keys": ["a"], "read": ".a[", "when": "true"}, r"formats\.x\.read: syntax error.*line 1, column 3"),
        ({"keys": ["a"], "read": "nonsense"}, r"formats\.x\.read: nonsense/0 is not defined"),
    ],
)
def test_a_wrong_mapping_is_named_with_its_key(table: dict[str, Any], told: str) -> None:
    if not told:
        assert "x" in extended({"x": table}).mappings
        return
    with pytest.raises(MappingError, match=told):
        extended({"x": table})


def test_a_mapping_cannot_take_the_name_of_another_format() -> None:
    for name in ("ultralytics", "roboflow", "cloudevents"):
        with pytest.raises(MappingError, match="is the name of another format"):
            extended({name: WAREHOUSE})


# --- what runs in the process ---


@pytest.mark.parametrize("endless", ["def f: f; f", "last(repeat(1))", "[range(1e9)] | length", "[recurse(.)]"])
def test_an_expression_that_never_ends_is_stopped_and_named(quick: JqProcess, endless: str) -> None:
    mapping = {"keys": ["a"], "read": endless}
    with pytest.raises(MappingFailed, match=r"mapping one: took more than 0\.2 seconds"):
        read({"a": 1}, catalogue(quick, one=mapping))
    assert read(PAYLOAD, catalogue(quick)) != []


def test_too_much_memory_is_refused() -> None:
    process = JqProcess(memory_bytes=192 * 1024**2, seconds=20)
    [outcome] = process.run([MappingJob("def f: [f, f]; f")], 1)
    process.close()
    assert "of memory" in outcome.error


def test_too_large_payloads_and_answers_are_refused() -> None:
    process = JqProcess(most_bytes=1000, seconds=5)
    [large] = process.run([MappingJob(".")], "x" * 2000)
    [grown] = process.run([MappingJob("[range(1000)]")], 1)
    process.close()
    assert "mappings read up to 1,000" in large.error
    assert "gives more than 1000 bytes" in grown.error


def test_one_bad_program_does_not_take_the_others_with_it(quick: JqProcess) -> None:
    bad, good = quick.run([MappingJob("def f: f; f"), MappingJob(".a")], {"a": 7})
    assert bad.stage == "limit"
    assert good.value == 7


def test_numbers_that_json_has_not_are_refused(quick: JqProcess) -> None:
    [outcome] = quick.run([MappingJob(".")], {"a": float("nan")})
    assert "NaN" in outcome.error


def test_expressions_do_not_see_the_environment(quick: JqProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_KILI_API_KEY", "secret")
    [outcome] = quick.run([MappingJob('[env | keys[] | select(startswith("WORKER"))]')], 1)
    assert outcome.value == []


def test_a_forked_process_starts_its_own(quick: JqProcess) -> None:
    quick.run([MappingJob(".")], 1)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        [outcome] = quick.run([MappingJob(". + 1")], 1)
        os.write(writing, str(outcome.value).encode())
        quick.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"2"
    assert quick.run([MappingJob(". + 2")], 1)[0].value == 3


def test_threads_share_the_process(quick: JqProcess) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(quick.run([MappingJob(". * 2")], n)[0].value))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 2, 4, 6, 8, 10, 12, 14]


# --- tests beside a mapping ---


def outcomes_of(**test: Any) -> list[ExampleResult]:
    known = parse_mappings({"warehouse": {**WAREHOUSE, "tests": [test]}})
    return list(run_tests(Catalogue(known.values()), ["warehouse"], {}))


def test_a_test_passes_where_it_is_as_expected() -> None:
    [one] = outcomes_of(payload=PAYLOAD, expect={"objects": [{"label": "pallet"}]})
    assert one.problem == ""


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ({"payload": PAYLOAD, "expect": {"objects": []}}, "objects: expected []"),
        ({"payload": PAYLOAD, "expect": {"objects": [{"box": [0.1, 0.2, 0.3, 0.5]}]}}, "box[3]: expected 0.5"),
        ({"payload": PAYLOAD, "expect": {"scores": {}}}, "scores: missing"),
        ({"payload": PAYLOAD, "refused": "no"}, "was read, but must be refused"),
        ({"payload": {"dets": 1}, "refused": "memory"}, "refused: "),
        ({"payload": [{"label": "a", "score": 1}], "expect": {}}, "was read as hf-classification"),
    ],
)
def test_a_test_that_fails_says_where(test: dict[str, Any], told: str) -> None:
    [one] = outcomes_of(**test)
    assert told in one.problem


def test_a_mapping_without_a_test_does_not_pass() -> None:
    [one] = run_tests(catalogue(), ["warehouse"], {})
    assert "has no test" in one.problem


# --- batches ---


def test_each_item_of_a_batch_has_the_size_of_its_image() -> None:
    mapping = {**WAREHOUSE, "units": "pixel"}
    rows = [{"dets": [{"cls": "a", "p": 0.9, "at": [0, 0, 50, 50]}]} for _ in range(2)]
    found = read(rows, catalogue(warehouse=mapping), image_sizes=[(100, 100), (200, 200)])
    assert [one["objects"][0]["box"] for one in found] == [[0, 0, 0.5, 0.5], [0, 0, 0.25, 0.25]]


def test_a_list_of_events_is_read_event_by_event() -> None:
    def event(label: str) -> dict[str, Any]:
        data = {"predictions": [label]}
        return {"id": label, "topic": "t", "subject": "s", "eventType": "p", "eventTime": "2026-01-01", "data": data}

    reading = read_payload([event("a"), event("b")])
    assert reading.format == "azure-event-grid/tf-serving-rows"
    assert len(reading.outputs) == 2


def test_a_mapping_is_frozen_and_says_how_it_is_recognised() -> None:
    assert FormatMapping(name="x", keys=(("a",),), read=".").keys == (("a",),)
    family = catalogue().families["warehouse"]
    assert family.rule == "an object with `dets`"
    begun = time.perf_counter()
    assert family.detect({"other": 1}) is None
    assert time.perf_counter() - begun < 1


def test_the_mappings_files_are_part_of_the_package() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8")
    assert '"**/*.toml"' in text
