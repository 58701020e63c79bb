"""Study 2: triplet mining and ArcFace on plankton, backbone frozen; one run and one draw of labels each."""

from statistics import fmean

from sweeps.analysis.numbers import four, number, or_absent
from sweeps.analysis.published.study import Measure, Ours, Study, StudyArm, StudyTable, count, none, of_trials
from sweeps.analysis.stats.description.descriptive import mean_of_known
from sweeps.analysis.stats.description.held_out import PROBES
from sweeps.analysis.stats.intervals.effects import t_interval

BUDGETS = (30, 100, 1000, 3000)


def _line(kind: str, labels: int) -> str:
    return f"{PROBES[kind]}, {labels:,} labels"


def _probes(**published: tuple[float, ...]) -> dict[str, str]:
    """Balanced accuracy on 3 unseen classes at each of `BUDGETS`, by kind of probe."""
    pairs = ((kind, at) for kind, values in published.items() for at in zip(BUDGETS, values, strict=True))
    return {_line(kind, labels): number(value) for kind, (labels, value) in pairs}


def _probe(kind: str, labels: int) -> Measure:
    """The same of ours, with a 95 % interval over replicates where there are some."""

    def mean(ours: Ours) -> str:
        found = ours.values(ours.evaluations, split="unseen", metric=kind, k=labels)
        of_replicate: dict[int, list[float]] = {}
        for run in ours.runs:
            if run.trial["trial_id"] in found and run.trial["replicate"] is not None:
                of_replicate.setdefault(run.trial["replicate"], []).append(found[run.trial["trial_id"]])
        if len(of_replicate) < 2:
            return or_absent(mean_of_known(found.values()))
        over = t_interval([fmean(values) for values in of_replicate.values()])
        return f"{number(over.estimate)} [{number(over.ci_low)}, {number(over.ci_high)}]"

    return mean


def _collapsed(ours: Ours) -> str:
    return f"{sum(bool(run.trial['collapsed']) for run in ours.runs)} of {len(ours.runs)} runs"


STUDY = Study(
    name="study 2",
    evaluation="The study probed the embeddings of one run with one draw of labels, on three unseen classes of a "
    "private set. Ours are means over runs and over repeated draws (where cells were repeated with 95 % intervals "
    "over replicates, each by itself), on other "
    "classes of other plankton: orders and slopes compare, levels do not. Its mined negatives were partly of the "
    "anchor's class.",
    settings={
        "dataset": ("FlowCamNet, private",), "backbone": ("efficientnet_v2_s",), "weights": ("imagenet",),
        "head": ("study2",), "image_size": (128,), "seen_classes": (6,), "unseen_classes": (3,), "dropout": (0.2,),
        "embedding_dim": (128,), "augmentation": ("none",), "optimizer": ("adam",), "lr": (1.4e-3,),
        "batch_size": (128, 64), "epochs": (35, 10), "freeze_epochs": (35, 10),  # 64 and 10 are ArcFace's
    },
    runs={"dataset": ("plankton",)},
    nearest=("margin", 0.5),  # of both, in squared distance and in radians
    arms=(
        StudyArm(name="triplet curriculum", ours={"loss": ("mined",), "mining": ("curriculum",)},
            published=_probes(probe_svc=(0.43, 0.59, 0.655, 0.71), probe_linear=(0.60, 0.665, 0.81, 0.845),
                              probe_knn=(0.44, 0.62, 0.68, 0.72))),
        StudyArm(name="ArcFace", ours={"loss": ("arcface",)},
            published={"published": four(0.9706),  # on the test images of its 6 classes
                       **_probes(probe_svc=(0.49, 0.60, 0.68, 0.745), probe_linear=(0.65, 0.735, 0.75, 0.79),
                                 probe_knn=(0.53, 0.595, 0.74, 0.78))}),
        StudyArm(name="triplets without mining", ours={"loss": ("mined",), "mining": ("random",)},
            published={"collapsed, published": "yes"}),
    ),
    tables=(
        StudyTable(title="test accuracy", layout="arms down",
                   measures={"published": none, "ours": of_trials("test_accuracy"), "our runs": count}),
        StudyTable(title="collapse", layout="arms down",
                   measures={"collapsed, published": none, "collapsed, ours": _collapsed}),
        StudyTable(title="unseen classes", layout="arms across, ours beside",
                   measures={_line(kind, labels): _probe(kind, labels) for kind in PROBES for labels in BUDGETS}),
    ),
)  # fmt: skip
