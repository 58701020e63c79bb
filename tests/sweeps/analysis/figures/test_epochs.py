import pytest

from sweeps.analysis.figures.epochs import epoch_data


def test_a_figure_needs_a_mark() -> None:
    with pytest.raises(ValueError, match="No epoch"):
        epoch_data([], title="KoLeo", outcome="val_auc", counted="7 seeds", dataset="digits")
