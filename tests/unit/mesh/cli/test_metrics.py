"""The options about metrics."""

from __future__ import annotations

import sys

import pytest

from tests.unit.mesh.cli.conftest import Run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "9464x"], "'9464x' is no address; write 127.0.0.1:9464, or a port"),
        (["--metrics", "127.0.0.1:99999"], "'127.0.0.1:99999' is no address; write 127.0.0.1:9464, or a port"),
        (["--metrics-public"], "--metrics-public is about metrics; give --metrics HOST:PORT as well"),
        (["--metrics", "0.0.0.0:9464"], "give 127.0.0.1:9464, or --metrics-public if that is wanted"),
        (["--metrics", "[::]:9464"], "give 127.0.0.1:9464, or --metrics-public if that is wanted"),
        (["--metrics", "metrics.example:9464"], "--metrics metrics.example:9464 would show methods and servers to"),
        (["--metrics", "192.0.2.1:9464", "--metrics-public"], "metrics cannot be served on 192.0.2.1:9464: "),
    ],
)
@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_what_cannot_be_used_is_said_in_one_sentence(run: Run, words: list[str], said: str, workers: list[str]) -> None:
    code, out, err = run("serve", "echo", "--no-advertise", *words, *workers)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_without_the_library_the_way_to_get_it_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith(("mesh.metrics", "prometheus_client"))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    code, _, err = run("serve", "echo", "--metrics", "0")
    assert code == 2
    assert err == "mesh: prometheus_client is not installed; pip install 'freelance-mesh[metrics]'\n"
