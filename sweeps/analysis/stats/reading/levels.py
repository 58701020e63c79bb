"""The levels that a cell's name tells. Pure."""


def levels_of(cell_id: str) -> dict[str, str]:
    """Factor levels named by a cell_id: `koleo=on,accum_steps=4` -> {"koleo": "on", "accum_steps": "4"}."""
    pairs = [part.partition("=") for part in cell_id.split(",")]
    return {factor.strip(): level.strip() for factor, equals, level in pairs if equals}
