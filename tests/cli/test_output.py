import json

import pytest

from sentio.cli.output import tell
from sentio.core.jobs import Outcome, Summary

SUMMARY = Summary(
    (
        Outcome("a.mp4", "done", {"name": "a"}),
        Outcome("b.mp4", "failed", error="b.mp4 is empty.", fix="Copy it again."),
        Outcome("c.mp4", "untried"),
    )
)


def name(record) -> str:
    return record["name"]


@pytest.mark.parametrize("quiet", [False, True])
def test_a_quiet_run_tells_its_failures_alone(capsys, quiet) -> None:
    assert tell(SUMMARY, name, json=False, quiet=quiet) == 1
    out, err = capsys.readouterr()
    failures = "failed: b.mp4 is empty.\n  Copy it again.\nnot tried: c.mp4\n"
    if quiet:
        assert (out, err) == ("", failures)
    else:
        assert out.startswith(f"a\n{failures}1 done, 0 skipped, 1 failed, 1 not tried") and not err


def test_of_a_quiet_run_without_failures_nothing_is_said(capsys) -> None:
    assert tell(Summary(SUMMARY.outcomes[:1]), name, json=False, quiet=True) == 0
    assert capsys.readouterr() == ("", "")


def test_json_is_one_object_with_the_facts_first(capsys) -> None:
    assert tell(SUMMARY, name, json=True, quiet=True, facts={"schema": "x"}) == 1
    said = json.loads(capsys.readouterr().out)
    assert next(iter(said)) == "schema" and said["done"] == [{"name": "a"}] and said["untried"] == ["c.mp4"]
