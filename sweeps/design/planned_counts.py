"""How many trials each stage of a plan has: for the forecast, for the driver, and for whoever looks at the folder."""

from collections.abc import Mapping
from typing import Any


def planned_trials(content: Mapping[str, Any]) -> dict[str, int]:
    """Trials by stage, of the stages that are run, in their order.

    Args:
        content: of a `plan.json`, which `plan_file.content_of` makes of a plan.

    Raises:
        KeyError, TypeError, ValueError: it is no such content.
    """
    tuned = [cell for cell in content["cells"] if cell["role"] == "factorial"]
    replicates = int(content.get("replicates", 1))  # older plans have one, and do not say so
    planned = {
        "search": int(content["samples"]),
        "tune": replicates * int(content["points"]) * len(tuned),
        "confirm": replicates * sum(int(cell["blocks"]) for cell in content["cells"]),
    }
    return {stage: planned[stage] for stage in content["stages"]}
