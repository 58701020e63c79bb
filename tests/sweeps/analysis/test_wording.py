"""Sentences: one for each verdict, natural for every treatment, and never against their own interval."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sweeps.analysis import numbers
from sweeps.analysis.stats.intervals.effects import VERDICTS, Effect, replicated_effect
from sweeps.analysis.wording import cell_name, control_sentence, sentence

CONTEXT = "6 tunings x 2 seeds, CIFAR-10, fixed triplets"
RAISED = Effect(
    0.0172, 0.0119, 0.0225, 0.001, 6, False, "beyond", 0.003, 0.00207, 0.013, 0.0214, unit="replicate", blocks=2
)


def said(effect: Effect, *, what: str = "KoLeo", outcome: str = "AUC", context: str = CONTEXT) -> str:
    return sentence(effect, what=what, outcome=outcome, context=context)


def like(verdict: str, *numbers: float) -> Effect:
    estimate, low, high, error, inner_low, inner_high = numbers
    return replace(
        RAISED,
        estimate=estimate,
        ci_low=low,
        ci_high=high,
        standard_error=error,
        inner_low=inner_low,
        inner_high=inner_high,
        verdict=verdict,
    )


UNSETTLED = like("unsettled", 0.005, 0.001, 0.009, 0.0016, 0.0018, 0.0082)
LITTLE = like("below_sesoi", -0.0015, -0.0023, -0.0007, 0.00031, -0.0021, -0.0009)
LITTLE_BY_90 = like("below_sesoi", 0.0017, 0.0002, 0.0032, 0.00058, 0.0005, 0.0029)
EQUIVALENT = like("equivalent", 0.0006, -0.0009, 0.0021, 0.00058, -0.0006, 0.0018)
EQUIVALENT_BY_90 = like("equivalent", 0.0003, -0.0028, 0.0034, 0.0012, -0.0021, 0.0027)
OPEN = like("no_evidence", 0.001, -0.007, 0.009, 0.0031, -0.0052, 0.0072)
PILOT = like("pilot", -0.0042, -0.0105, 0.0021, 0.0023, -0.009, 0.0007)


@pytest.mark.parametrize(
    ("effect", "text"),
    [
        (RAISED, f"KoLeo raised AUC by .0172 [.0119, .0225] ({CONTEXT}): more than the .003 that matters."),
        (
            like("beyond", -0.0172, -0.0225, -0.0119, 0.00207, -0.0214, -0.013),
            f"KoLeo lowered AUC by .0172 [.0119, .0225] ({CONTEXT}): more than the .003 that matters.",
        ),
        (
            UNSETTLED,
            f"KoLeo raised AUC by .0050 [.0010, .0090] ({CONTEXT}); whether that is enough to matter (.003) is open.",
        ),
        (
            LITTLE,
            f"KoLeo changed AUC by -.00150 [-.00230, -.00070] ({CONTEXT}), too little to matter (within ±.003).",
        ),
        (
            LITTLE_BY_90,
            f"KoLeo changed AUC by +.00170 [+.00020, +.00320] ({CONTEXT}), too little to matter (the 90 % interval, "
            "+.00050 to +.00290, within ±.003).",
        ),
        (
            EQUIVALENT,
            f"KoLeo makes no difference that matters to AUC: +.00060 [-.00090, +.00210] lies within ±.003 ({CONTEXT}).",
        ),
        (
            EQUIVALENT_BY_90,
            "KoLeo makes no difference that matters to AUC: +.0003 [-.0028, +.0034], with the 90 % interval, -.0021 to "
            f"+.0027, within ±.003 ({CONTEXT}).",
        ),
        (
            replace(EQUIVALENT_BY_90, inner_low=float("nan"), inner_high=float("nan")),
            "KoLeo makes no difference that matters to AUC: +.0003 [-.0028, +.0034], with the 90 % interval within "
            f"±.003 ({CONTEXT}).",
        ),
        (
            OPEN,
            "The data do not settle whether KoLeo changes AUC: anything between -.0070 and +.0090 fits them "
            f"({CONTEXT}).",
        ),
        (
            PILOT,
            f"Pilot, no verdict on whether KoLeo changes AUC: -.0042 [-.0105, +.0021] ({CONTEXT}); a verdict needs at "
            "least 4 independent replicates.",
        ),
    ],
)
def test_sentences(effect: Effect, text: str) -> None:
    assert said(effect) == text


def test_what_a_pilot_lacks_may_be_another_thing() -> None:
    text = sentence(PILOT, what="`b.csv`", outcome="AUC", context=CONTEXT, needed="at least 7 pairs")
    assert text.startswith("Pilot, no verdict on whether `b.csv` changes AUC: -.0042 [")
    assert text.endswith("; a verdict needs at least 7 pairs.")


def test_a_treatment_in_an_arm_is_named_whole() -> None:
    what = "accumulation (K=4 against 1) with KoLeo"
    assert said(RAISED, what=what).startswith("Accumulation (K=4 against 1) with KoLeo raised AUC by .0172 [")
    assert f"whether {what} changes AUC:" in said(OPEN, what=what)
    assert said(EQUIVALENT, what="weak augmentation").startswith("Weak augmentation makes no difference that matters")


def test_an_interaction_changes_an_effect_and_keeps_its_sign() -> None:
    words = {"what": "accumulation (K=4 against 1)", "outcome": "KoLeo's effect on AUC"}
    lowered = like("beyond", -0.0172, -0.0225, -0.0119, 0.00207, -0.0214, -0.013)
    assert said(lowered, **words) == (
        "Accumulation (K=4 against 1) changed KoLeo's effect on AUC by -.0172 [-.0225, -.0119] "
        f"({CONTEXT}): more than the .003 that matters."
    )
    assert said(OPEN, **words).startswith(
        "The data do not settle whether accumulation (K=4 against 1) changes KoLeo's effect on AUC: anything between"
    )
    for effect in (RAISED, UNSETTLED):
        assert not re.search(r"raised|lowered", said(effect, **words))


def test_context_is_handed_through_and_looking_again_is_named() -> None:
    drop_in = "7 seeds, digits, semi-hard triplets, drop-in: nothing tuned"
    assert f"({drop_in})" in said(RAISED, context=drop_in)
    assert f"({CONTEXT}; interval valid at every look)" in said(replace(RAISED, anytime=True))


def test_a_difference_of_rounding_alone_has_no_digits() -> None:
    nothing = like("below_sesoi", 2e-9, 1e-9, 3e-9, 4e-10, 1e-9, 3e-9)
    assert said(nothing) == f"KoLeo changed AUC by less than .000001 ({CONTEXT}), too little to matter."


def test_no_sentence_says_no_effect() -> None:
    assert not any("no effect" in said(replace(RAISED, verdict=verdict)).lower() for verdict in VERDICTS)
    with pytest.raises(ValueError, match="`else`"):
        said(replace(RAISED, verdict="else"))


def test_a_control_is_held_against_the_sesoi() -> None:
    text = control_sentence(
        np.array([[0.0001, -0.0002], [0.0001, 0.0002]]),
        sesoi=0.003,
        what="K=4 against K=1",
        outcome="AUC",
        context="4 replicates x 2 seeds, digits",
    )
    assert text == (
        "A/A control, K=4 against K=1, which compute the same: AUC differed by at most .0002 (root mean square .0002; "
        "4 replicates x 2 seeds, digits), where .003 would matter."
    )


NUMBER = r"[+-]?\d*\.\d+"
magnitudes = st.floats(-9, 1).map(lambda exponent: 10**exponent)


@st.composite
def effects(draw: Any) -> Effect:
    """Any sweep, with means near the places where a word changes."""
    n, sesoi = draw(st.integers(2, 12)), draw(st.sampled_from([0.003, 0.01, 0.0025, 0.02]))
    sd = draw(magnitudes)
    anchor = draw(st.sampled_from([0.0, sesoi, -sesoi, 2 * sesoi]))
    shape = np.array(draw(st.lists(st.floats(-1, 1), min_size=n, max_size=n)))
    assume(shape.std() > 1e-3)
    family, anytime = draw(st.sampled_from([1, 4])), draw(st.booleans()) and n >= 6
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    plain = np.stack([np.zeros(n), shape * sd], axis=1)[..., None]
    half = replicated_effect(plain, weights=(-1, 1), family=family, anytime=anytime).ci_high
    away = draw(st.sampled_from([-1.0, 0.0, 1.0])) * half * (1 + draw(st.sampled_from([-1, 1])) * draw(magnitudes))
    return replicated_effect(
        plain + np.array([0.0, anchor + away])[:, None], weights=(-1, 1), sesoi=sesoi, family=family, anytime=anytime
    )


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(effects())
def test_no_sentence_contradicts_the_interval_that_it_prints(effect: Effect) -> None:
    text, sesoi = said(effect, context="c"), effect.sesoi
    if numbers.vanishes(effect) and effect.verdict == "below_sesoi":
        assert "less than .000001" in text
        return
    body = text.replace("90 %", "").replace(f"±{numbers.sesoi_text(sesoi)}", "")
    printed = [float(number) for number in re.findall(NUMBER, body)]
    low, high = (float(n) for n in (re.findall(NUMBER, numbers.ends(effect))))
    digits = {len(n.partition(".")[2]) for n in re.findall(NUMBER, numbers.interval(effect))}
    assert len(digits) == 1
    if effect.verdict == "no_evidence":
        assert printed[:2] == [low, high]
    else:
        assert {abs(n) for n in printed[1:3]} == {abs(low), abs(high)}  # the same digits as in a table
    match effect.verdict:
        case "beyond":
            assert low > sesoi or high < -sesoi
        case "unsettled":
            assert low > 0 or high < 0
        case "below_sesoi":
            assert low > 0 or high < 0
            assert ("90 %" in text) == (low <= -sesoi or high >= sesoi)
        case "equivalent":
            assert low <= 0 <= high
            assert ("90 %" in text) == (low <= -sesoi or high >= sesoi)
        case "no_evidence":
            assert low <= 0 <= high
            assert low < -sesoi or high > sesoi
    if "90 %" in text:
        inner = [float(n) for n in re.findall(NUMBER, body.partition("interval, ")[2])][:2]
        assert all(-sesoi <= end <= sesoi for end in inner)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("koleo=off", "KoLeo off"),
        ("koleo=on,accum_steps=4", "KoLeo, K=4"),
        ("koleo=on,koleo_exclude_same_class=on,accum_steps=1,accum_mode=cached", "KoLeo (other-class), K=1, cached"),
        ("koleo=on,koleo_exclude_same_class=off,batch_size=64", "KoLeo (any), B=64"),
        (
            "koleo_weight=.03,koleo_exclude_same_class=off,accum_steps=1,koleo=on",
            "KoLeo (any), weight .03, K=1",
        ),
        ("mining=easy/semihard", "mining easy/semihard"),
        ("loss=mined,margin=.5", "loss mined, margin .5"),
        ("K=4 against 1", "K=4 against 1"),
        ("n = 4", "n = 4"),
    ],
)
def test_cells_are_called_what_people_call_them(cell: str, said: str) -> None:
    assert cell_name(cell) == said
