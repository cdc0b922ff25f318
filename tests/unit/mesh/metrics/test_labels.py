"""Labels that a crowd cannot fill."""

from __future__ import annotations

from mesh.metrics.labels import OTHER, Labels


def test_who_comes_when_there_are_enough_is_one_of_the_others() -> None:
    labels = Labels(2)
    assert [labels.of(name) for name in "abca"] == ["a", "b", OTHER, "a"]
    assert (labels.has("b"), labels.has("c")) == (True, False)


def test_who_leaves_makes_room() -> None:
    labels = Labels(1)
    labels.of("a")
    labels.keep({"b"})
    assert [labels.of(name) for name in "ba"] == ["b", OTHER]
