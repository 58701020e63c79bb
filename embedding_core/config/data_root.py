"""Where the data sets are."""

import os
from pathlib import Path


def is_uri(root: str | Path) -> bool:
    """Whether this names an object store and not a folder."""
    return "://" in str(root)


def resolve_root(root: str | Path | None) -> Path | str:
    """Folder that holds the data sets, absolute, or its URI: `root`, else $EMBED_DATA_ROOT, else `data`."""
    named = root or os.environ.get("EMBED_DATA_ROOT") or "data"
    return str(named) if is_uri(named) else Path(named).expanduser().resolve()
