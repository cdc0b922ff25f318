"""The command line of mesh-top."""

from __future__ import annotations

import pytest

from mesh.cli.exits import UsageError
from mesh.top.columns import FIELDS, STATES, Order
from mesh.top.options import parse


def test_nothing_has_to_be_given() -> None:
    options = parse([])
    assert (options.delay_s, options.count, options.order, options.filter, options.fields) == (
        1.0,
        None,
        Order(),
        "",
        (),
    )
    assert not any((options.all, options.once, options.json, options.csv, options.server, options.interface))


def test_everything_can_be_given() -> None:
    words = ["-d", "0.5", "-n", "3", "-s", "calls/s", "-f", "lab", "-o", "name,RTT,name", "--realm", "lab"]
    options = parse([*words, "--all", "--once", "--json"])
    assert (options.delay_s, options.count, options.filter, options.realm) == (0.5, 3, "lab", "lab")
    assert options.order == Order("calls_per_s")
    assert [field.key for field in options.fields] == ["name", "rtt_s"]
    assert all((options.all, options.once, options.json))


@pytest.mark.parametrize("words", [["-s", "-p99"], ["-s-p99"], ["-s", "-P99_S"]])
def test_a_minus_before_a_field_is_no_option(words: list[str]) -> None:
    assert parse(words).order == Order("p99_s", down=True)
    assert parse(["-n", "2", *words, "-d", "3"]).delay_s == 3.0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-d", "0"], "argument -d: '0': give seconds from 0.1 to 3600"),
        (["-d", "nan"], "argument -d: 'nan': give seconds from 0.1 to 3600"),
        (["-n", "0"], "argument -n: 0 is less than 1"),
        (["-s", "-fast"], "argument -s: there is no field 'fast'; take one of name, state, services, "),
        (["-s", "methods"], "argument -s: 'methods' has no order; take one of name, "),
        (["-o", "name,"], "argument -o: there is no field ''; take one of name, "),
        (["-o", "name,txt"], "the field 'txt' has room in JSON alone; add --json"),
        (["--json", "--csv"], "--json and --csv exclude each other; give one of them"),
        (["-x"], "unrecognized arguments: -x; 'mesh-top --help' says what can be given"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_remedy(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert str(caught.value).startswith(sentence)


def test_help_explains_every_field_and_every_state(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for field in FIELDS:
        assert f" {field.key} {f'({field.title}) ' if field.title else ''}{' '.join(field.meaning.split())}" in shown
    for state, meaning in STATES.items():
        assert f" {state} {meaning}" in shown
