"""Words that messages, captions and tables share."""


def plural(n: int, noun: str) -> str:
    """`1 class`, `1,234 epochs`. `noun`: in the singular; its plural is in -s, after -s and -tch in -es."""
    return f"{n:,} {noun}{('es' if noun.endswith(('s', 'tch')) else 's') * (n != 1)}"
