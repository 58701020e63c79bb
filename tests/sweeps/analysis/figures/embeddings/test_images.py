from embedding_core.views.view_tables import ViewTables
from sweeps.analysis.figures.embeddings.images import SHEET_IMAGES, class_sheet
from sweeps.analysis.figures.embeddings.stored_views import Shown
from sweeps.analysis.stats.reading.pairing import Place
from tests.sweeps.analysis.invented.views import NAMES, of


def test_a_class_sheet_holds_the_first_of_each_kind(viewed_cells: Shown, stored: dict[str, ViewTables]) -> None:
    data = class_sheet(viewed_cells, "test", "koleo=on", block=Place(1, 1))
    assert data.row_names == NAMES
    for label, row in enumerate(data.tiles):
        for kind, tiles in zip(data.groups, row, strict=True):
            wanted = [r for r in of(stored["t00001"], kind) if r["class_id"] == label][:SHEET_IMAGES]
            assert [tile.png for tile in tiles] == [r["thumbnail"] for r in wanted]
            assert [tile.value for tile in tiles] == [r["value"] for r in wanted]
            assert [tile.class_name for tile in tiles] == [NAMES[r["other_class_id"]] for r in wanted]
            assert [tile.same for tile in tiles] == [kind != "foreign"] * len(tiles)
    assert data.caption.startswith("n = 120 images, 10 classes; koleo=on, block 1, seed 1; digits, test split")
