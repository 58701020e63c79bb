from sweeps.analysis.document import compact


def test_a_table_of_many_cells_lies_down() -> None:
    few = compact("stage", ["a", "b"], {"x": ["1", "2"], "y": ["3", "4"]})
    assert few[0].header == ["stage", "x", "y"]
    many = compact("stage", ["a", "b"], {name: ["1", "2"] for name in "uvwxyz"})
    assert (many[0].header, many[0].rows[0]) == (["stage", "a", "b"], ["u", "1", "2"])
