"""Sentences: one for each verdict, and why an interval without 0 may be no evidence."""

from dataclasses import replace
from typing import Any

import pytest

from sweeps.analysis.stats.effects import ALPHA, MIN_BLOCKS, VERDICTS, Effect
from sweeps.analysis.wording import sentence


def said(effect: Effect, **words: Any) -> str:
    return sentence(effect, needed=MIN_BLOCKS, alpha=ALPHA, **words)


EFFECT = Effect(-0.0206, -0.0281, -0.0131, 0.016, 7, False, "beyond")


@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (
            EFFECT,
            "KoLeo (weight .1) lowered AUC by .021 [.013, .028] (7 blocks, digits, drop-in), more than the SESOI "
            "(.003).",
        ),
        (
            Effect(0.0206, 0.0131, 0.0281, 0.016, 7, False, "beyond"),
            "KoLeo (weight .1) raised AUC by .021 [.013, .028] (7 blocks, digits, drop-in), more than the SESOI "
            "(.003).",
        ),
        (
            Effect(0.005, 0.001, 0.009, 0.03, 7, False, "unsettled"),
            "KoLeo (weight .1) raised AUC by .005 [.001, .009] (7 blocks, digits, drop-in); whether that matters is "
            "not settled (SESOI .003).",
        ),
        (
            Effect(-0.0015, -0.0023, -0.0007, 0.03, 9, True, "below_sesoi"),
            "KoLeo (weight .1) lowered AUC by .002 [.001, .002] (9 blocks, digits, drop-in): a difference was detected "
            "but is smaller than the SESOI (.003).",
        ),
        (
            Effect(0.0006, -0.0009, 0.0021, 0.4, 7, True, "equivalent"),
            "KoLeo (weight .1) left AUC equivalent within ±.003 (the SESOI): +.001 [-.001, +.002] "
            "(7 blocks, digits, drop-in).",
        ),
        (
            Effect(-0.0042, -0.0105, 0.0021, 0.125, 7, False, "no_evidence"),
            "No evidence that KoLeo (weight .1) changes AUC: -.004 [-.011, +.002] (7 blocks, digits, drop-in); the "
            "data are compatible with -.011 to +.002.",
        ),
        (
            Effect(-0.0042, -0.0105, 0.0021, 0.125, 5, False, "pilot"),
            "Pilot, no verdict: with KoLeo (weight .1), AUC differed by -.004 [-.011, +.002] (5 blocks, digits, "
            "drop-in); a verdict needs at least 7 blocks.",
        ),
    ],
)
def test_sentences(effect: Effect, text: str) -> None:
    assert said(effect, what="KoLeo (weight .1)", outcome="AUC", unit_note="digits, drop-in") == text


def test_an_interval_without_0_that_is_no_evidence_says_why() -> None:
    lowered = Effect(-0.012, -0.019, -0.004, 0.031, 7, False, "no_evidence")
    texts = [
        said(effect, what="KoLeo", outcome="AUC", unit_note="", p_holm=p_holm)
        for effect, p_holm in ((lowered, 0.094), (replace(lowered, p_value=0.062), 0.125))
    ]
    start = "No evidence that KoLeo changes AUC: -.012 [-.019, -.004] (7 blocks); the data are compatible with -.019 to"
    assert texts == [
        f"{start} -.004, which excludes 0, but with the other primary contrasts allowed for p is .094 (Holm).",
        f"{start} -.004, which excludes 0, but the sign-flip test gives p = .062.",
    ]


def test_no_sentence_says_no_effect_and_small_numbers_keep_a_digit() -> None:
    for verdict in VERDICTS:
        text = said(replace(EFFECT, verdict=verdict), what="KoLeo", outcome="AUC", unit_note="")
        assert "no effect" not in text.lower()
    tiny = Effect(0.00012, -0.00003, 0.0004, 0.3, 8, True, "equivalent")
    assert "+.00012 [-.00003, +.00040]" in said(tiny, what="KoLeo", outcome="AUC", unit_note="")
