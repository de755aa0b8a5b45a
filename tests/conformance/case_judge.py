"""Cases of labels in Kili's own forms, judged by a sandbox through the calls of the real SDK.

As a command, for a folder with one JSON file per case: `python -m tests.conformance.case_judge FOLDER`.
It starts a sandbox, prints what is not as expected, and `N of M as expected`.
A case has the keys name, interface, input_type, asset (url, text or json_content), responses (one or two) and expect:
valid (whether every response is taken), names (words of which a refusal holds one), agreement (of the two, by the
documented rule, of `job` where one is named), equal_to_self.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.conformance import kili_sdk
from tests.conformance.sdk_cars import APPEND, call, create_project
from tests.nursery import spawn
from worker.sandbox.process import SandboxProcess
from worker.sandbox.responses.agreement import compare_jobs
from worker.sandbox.responses.reading import read_interface

if TYPE_CHECKING:
    from kili.client import Kili

Case = Mapping[str, Any]
NEAR = 0.02
MALFORMED = "[jsonResponseMalformed]"


class CaseJudge:
    """Asks a sandbox (with strict validation and the documented rule for agreement) about cases."""

    def __init__(self, sandbox: SandboxProcess, kili: Kili) -> None:
        self._sandbox = sandbox
        self._kili = kili

    def problems(self, case: Case) -> list[str]:
        """Return what is not as the case expects."""
        project_id = create_project(
            self._sandbox, case["interface"], case["input_type"], pixelLabeling=case.get("pixel_labeling")
        )
        return [*self._validity(case, project_id), *self._agreement(case, project_id)]

    def _validity(self, case: Case, project_id: str) -> Iterator[str]:
        expected = case["expect"].get("valid")
        for number, response in enumerate(case["responses"] if expected is not None else (), 1):
            rejection = self._rejection(self._asset(case, project_id), response, "INFERENCE")
            if expected and rejection:
                yield f"response {number} is refused: {rejection}"
            elif not expected and not rejection:
                yield f"response {number} is taken, should be refused"
            elif not expected:
                yield from _wrong_words(rejection, case["expect"].get("names", ()))

    def _agreement(self, case: Case, project_id: str) -> Iterator[str]:
        expect, responses = case["expect"], case["responses"]
        pairs = [(response, response, 1.0, 1e-9) for response in responses if expect.get("equal_to_self")]
        if "agreement" in expect:
            one, other = responses
            pairs += [(one, other, expect["agreement"], NEAR), (other, one, expect["agreement"], NEAR)]
        for model, human, expected, near in pairs:
            found = self._mark(case, project_id, model, human)
            if abs(found - expected) > near:
                yield f"agreement {found:.3f}, expected {expected}"

    def _mark(self, case: Case, project_id: str, model: Any, human: Any) -> float:
        job = case["expect"].get("job")
        if job is not None and len(case["interface"]["jobs"]) > 1:
            interface = read_interface(json.dumps(case["interface"]), case["input_type"])
            return compare_jobs(model, human, interface)[job].score
        asset_id = self._asset(case, project_id)
        for response, label_type in ((model, "INFERENCE"), (human, "DEFAULT")):
            rejection = self._rejection(asset_id, response, label_type)
            if rejection:
                raise AssertionError(rejection)
        [label] = self._kili.labels(
            project_id, asset_id=asset_id, type_in=["DEFAULT"], fields=["inferenceMark"], disable_tqdm=True
        )
        return float(label["inferenceMark"])

    def _asset(self, case: Case, project_id: str) -> str:
        asset = case.get("asset") or {"url": "https://example.com/asset"}
        rich = json.dumps(asset["json_content"]) if "json_content" in asset else ""
        data = {"contentArray": [asset.get("text", asset.get("url", ""))], "jsonContentArray": [rich]}
        return str(call(self._sandbox, APPEND, data=data, where={"id": project_id})["appendManyAssets"][0]["id"])

    def _rejection(self, asset_id: str, response: Any, label_type: str) -> str:
        """Return the refusal's message, or nothing when the label is taken."""
        try:
            self._kili.append_labels(
                asset_id_array=[asset_id],
                json_response_array=[response],
                label_type=label_type,  # type: ignore[arg-type]
                model_name="m:1",
                disable_tqdm=True,
            )
        except kili_sdk.GraphQLError as error:
            return str(error)
        return ""


def _wrong_words(rejection: str, words: Any) -> Iterator[str]:
    if MALFORMED not in rejection:
        yield f"refused without {MALFORMED}: {rejection}"
    elif words and not any(word.casefold() in rejection.casefold() for word in words):
        yield f"refused without naming any of {list(words)}: {rejection}"


def main(arguments: list[str]) -> int:
    """Judge a folder of cases."""
    cases = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(arguments[0]).glob("*.json"))]
    with SandboxProcess(spawn=spawn, agreement="documented", validation="strict") as sandbox:
        judge = CaseJudge(
            sandbox, kili_sdk.Kili(api_key=sandbox.api_key, api_endpoint=sandbox.endpoint, disable_tqdm=True)
        )
        wrong = {case["name"]: judge.problems(case) for case in cases}
    for name, problems in wrong.items():
        if problems:
            sys.stdout.write(f"{name}: {'; '.join(problems)}\n")
    right = sum(not problems for problems in wrong.values())
    sys.stdout.write(f"{right} of {len(cases)} as expected\n")
    return 0 if cases and right == len(cases) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
