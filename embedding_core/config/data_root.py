"""Where the data sets are."""

import os
from pathlib import Path


def resolve_root(root: str | Path | None) -> Path:
    """Folder that holds the data sets: `root`, else $EMBED_DATA_ROOT, else `data`; absolute."""
    return Path(root or os.environ.get("EMBED_DATA_ROOT") or "data").expanduser().resolve()
