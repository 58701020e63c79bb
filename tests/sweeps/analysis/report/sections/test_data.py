"""What a report says of the images: each guess in a row of its own, in the words of the plan."""

from sweeps.analysis.report.sections.data import section


def test_every_line_of_the_plan_has_its_row() -> None:
    lines = [
        "test set:  class-disjoint: told by the rows",
        "copies:    1 of 73 test images is a training or validation image too, pixel by pixel (horse 1)",
        "images:    240 train images of 2 classes in Training (a 120, b 120); 72 test images of 2 classes in Testing "
        "(a 36, b 36); passed over: 1 .txt, __MACOSX",
        "broken:    1 train image cannot be decoded and is left out: Training/a/1.png",
        "batch:     32, as the declared 64 is more than the 40 training triplets: a guess",
        "loss:      triplet instead of semihard: a guess, as no loss was given. loss=semihard learns from pairs.",
    ]
    (table,) = section(lines).tables
    assert table.rows == [
        ["Copies", "1 of 73 test images is a training or validation image too, pixel by pixel (horse 1)."],
        ["Read", "240 train images of 2 classes in Training (a 120, b 120)."],
        ["Read", "72 test images of 2 classes in Testing (a 36, b 36)."],
        ["Passed over", "1 .txt, __MACOSX."],
        ["Broken", "1 train image cannot be decoded and is left out: Training/a/1.png."],
        ["Batch size", "32, as the declared 64 is more than the 40 training triplets: a guess."],
        ["Loss", "Triplet instead of semihard: a guess, as no loss was given. loss=semihard learns from pairs."],
    ]


def test_a_set_of_which_nothing_was_guessed_has_no_section() -> None:
    assert section([]).tables == []
    assert section(["test set:  class-disjoint"]).paragraphs == []
