"""Shape and type checks for the whole suite: a call that breaks an annotation of the core fails its test."""

from pathlib import Path

from jaxtyping import install_import_hook

import embedding_core

CORE = Path(embedding_core.__path__[0])

# `config` answers wrong types itself, in sentences for users, which a check in front of it would pre-empt.
install_import_hook(
    [
        ".".join(file.relative_to(CORE.parent).with_suffix("").parts)
        for file in CORE.rglob("*.py")
        if file.stem not in ("__init__", "config")
    ],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",  # an int is a float, as in PEP 484
)
