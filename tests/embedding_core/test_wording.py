from embedding_core.wording import plural


def test_a_number_agrees_with_what_it_counts() -> None:
    told = [plural(n, noun) for n in (0, 1, 1234) for noun in ("test image", "class", "batch", "epoch")]
    assert told == [
        *("0 test images", "0 classes", "0 batches", "0 epochs"),
        *("1 test image", "1 class", "1 batch", "1 epoch"),
        *("1,234 test images", "1,234 classes", "1,234 batches", "1,234 epochs"),
    ]
