"""Weighted means of what is on the host and on the device."""

import pytest
import torch

from embedding_core.metrics.meter import Meter


def test_means_are_weighted() -> None:
    meter = Meter()
    for value, weight in ((1.0, 3.0), (2.0, 1.0)):
        meter.add("of the host", value, weight)
        meter.add("of the device", torch.tensor(value, requires_grad=True), weight)
        meter.add("both of the device", torch.tensor(value), torch.tensor(weight))
    assert meter.means() == {"of the host": 1.25, "of the device": 1.25, "both of the device": 1.25}


def test_what_only_the_device_knows_to_be_absent_is_left_out() -> None:
    meter = Meter()
    for found in (False, True, False):
        meter.add("now and then", torch.tensor(0.5 if found else 0.0), torch.tensor(found) * 8.0)
        meter.add("never", torch.tensor(0.0), torch.tensor(False) * 8.0)
        meter.add("always", torch.tensor(2.0), 8.0)
    assert meter.means() == {"now and then": 0.5, "always": 2.0}


def test_of_nothing_there_is_no_mean() -> None:
    assert Meter().means() == {}


@pytest.mark.parametrize("weight", [2.0, torch.tensor(2.0)])
def test_a_value_that_is_not_finite_stays(weight: float | torch.Tensor) -> None:
    meter = Meter()
    meter.add("loss", torch.tensor(torch.inf), weight)
    assert meter.means() == {"loss": torch.inf}
