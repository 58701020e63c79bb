"""How a sweep speaks to whoever started it."""

from rich.console import Console


def say(console: Console, text: str, style: str = "") -> None:
    """Print as it is: paths and brackets are no markup, and lines are the terminal's to wrap."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
