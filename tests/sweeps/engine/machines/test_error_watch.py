"""What errors say about machines and about the sweep, told from final rows alone."""

from collections.abc import Collection
from itertools import count
from typing import Any

import pytest

from embedding_core.errors import Faults
from sweeps.engine.machines import resources
from sweeps.engine.machines.error_watch import EQUAL_ERRORS, ErrorWatch, SickNode
from sweeps.engine.machines.resources import Slots

BROKEN = "OSError: [Errno 5] Input/output error: '/scratch/t{}'"
UNFIT = "UnfitMachine: The data set cub cannot be read here: no such folder"

Nodes = dict[str, dict[str, float]]


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """The nodes that are up, by id; a head that runs no trials is one of them."""
    up: Nodes = {"head": {"CPU": 0.0}, "a": {"CPU": 4.0}, "b": {"CPU": 4.0}}

    def nodes(left_out: Collection[str] = ()) -> list[dict[str, float]]:
        return [up[name] for name in up if name not in left_out]

    monkeypatch.setattr(resources, "nodes", nodes)
    return up


NUMBERS = count()


def end(watch: ErrorWatch, node: str | None, error: str | None, slots: Slots, *, settings: str | None = None) -> None:
    """A trial ends there, with this error or with none."""
    number = next(NUMBERS)
    row: dict[str, Any] = {
        "end_reason": "completed" if error is None else "error",
        "error_type": None if error is None else error.format(number),
        "node_id": node,
        "hostname": f"host of {node}",
        "config_sha256": settings or f"{number}",
    }
    watch.on_stored(row)
    watch.check(slots)


def test_a_node_on_which_alone_trials_end_in_one_error_is_left_out(there: Nodes) -> None:
    watch, slots = ErrorWatch(), Slots(1, 0)
    for _ in range(EQUAL_ERRORS - 1):
        end(watch, "a", BROKEN, slots)
        end(watch, "b", None, slots)
    with pytest.raises(SickNode, match=r"Input/output error.* \(on host of a\)") as caught:
        end(watch, "a", BROKEN, slots)
    assert caught.value.node_id == "a"
    assert slots.without("a").has_room()


def test_different_errors_and_one_setting_that_fails_again_accuse_nobody(there: Nodes) -> None:
    watch, slots = ErrorWatch(), Slots(1, 0)
    for name in "abcdef":
        end(watch, "a", f"ValueError: {name}", slots)
        end(watch, "a", BROKEN, slots, settings="the same")
        end(watch, "b", BROKEN, slots, settings="the same")


def test_one_error_of_different_settings_on_different_nodes_ends_the_sweep(there: Nodes) -> None:
    watch, slots = ErrorWatch(), Slots(1, 0)
    end(watch, "a", BROKEN, slots)
    end(watch, "b", None, slots)
    end(watch, "b", BROKEN, slots)
    with pytest.raises(Faults, match=r"same error on 2 nodes: OSError.*`--resume`"):
        end(watch, "a", BROKEN, slots)


def test_of_several_errors_at_once_each_is_looked_at_and_a_node_is_left_out_once(there: Nodes) -> None:
    watch, slots = ErrorWatch(), Slots(1, 0)
    for error in (UNFIT, UNFIT, "ValueError: another"):
        row = {"end_reason": "error", "error_type": error, "node_id": "a", "hostname": "a", "config_sha256": error}
        watch.on_stored(row)
    with pytest.raises(SickNode):
        watch.check(slots)
    watch.check(slots.without("a"))


def test_the_nodes_errors_are_remembered_once_it_is_left_out(there: Nodes) -> None:
    """It was no sick node: what it failed at fails elsewhere too."""
    watch, slots = ErrorWatch(), Slots(1, 0)
    for _ in range(EQUAL_ERRORS - 1):
        end(watch, "a", BROKEN, slots)
    with pytest.raises(SickNode):
        end(watch, "a", BROKEN, slots)
    with pytest.raises(Faults, match="on 2 nodes"):
        end(watch, "b", BROKEN, slots.without("a"))


def test_on_the_only_node_nothing_but_one_error_ends_the_sweep(there: Nodes) -> None:
    del there["b"]
    watch, slots = ErrorWatch(), Slots(1, 0)
    for _ in range(10):  # one setting in three fails: that is a finding about the setting
        end(watch, "a", BROKEN, slots)
        end(watch, "a", BROKEN, slots)
        end(watch, "a", None, slots)
    for _ in range(EQUAL_ERRORS - 1):
        end(watch, "a", BROKEN, slots)
    with pytest.raises(Faults, match="latest 3 trials have all ended in the same error"):
        end(watch, "a", BROKEN, slots)


def test_trials_that_die_before_they_can_say_where_accuse_no_node(there: Nodes) -> None:
    watch, slots = ErrorWatch(), Slots(1, 0)
    missing = "ModuleNotFoundError: No module named 'timm'"
    for _ in range(EQUAL_ERRORS - 1):
        end(watch, None, missing, slots)
    with pytest.raises(Faults, match="No module named 'timm'"):
        end(watch, None, missing, slots)


def test_a_machine_that_cannot_run_trials_is_left_out_at_once_and_so_is_the_next(there: Nodes) -> None:
    there["c"] = {"CPU": 4.0}
    watch, slots = ErrorWatch(), Slots(1, 0)
    for name in ("a", "b"):
        with pytest.raises(SickNode) as caught:
            end(watch, name, UNFIT, slots)
        assert caught.value.node_id == name
        slots = slots.without(name)
    end(watch, "c", None, slots)
    with pytest.raises(Faults, match=r"No machine is left.*cub cannot be read"):
        end(watch, "c", UNFIT, slots)


def test_a_node_that_is_left_out_counts_for_no_room(there: Nodes) -> None:
    slots = Slots(1, 0)
    assert (slots.room(), slots.without("a").room()) == (8, 4)
    assert not slots.without("a").without("b").has_room()
