"""Words that messages, captions and tables share."""


def plural(n: int, noun: str) -> str:
    """`1 class`, `2 classes`, `1,234 epochs`. `noun`: in the singular, of regular plural."""
    return f"{n:,} {noun}{('es' if noun.endswith(('s', 'tch')) else 's') * (n != 1)}"
