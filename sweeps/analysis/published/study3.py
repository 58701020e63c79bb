"""Study 3: semi-hard triplets on MNIST, frozen and then unfrozen; one run."""

from sweeps.analysis.numbers import four, mean_text, number
from sweeps.analysis.published.study import Ours, Study, StudyArm, StudyTable, count, of_trials


def _frozen(ours: Ours) -> str:
    """Validation loss after the frozen epochs."""
    lines = [(dict(run.line("val_loss")), run.trial["freeze_epochs"] or 0) for run in ours.runs]
    return mean_text(line.get(epochs) for line, epochs in lines)


def _last(ours: Ours) -> str:
    """The last validation loss."""
    lines = [run.line("val_loss") for run in ours.runs]
    return mean_text(line[-1][1] for line in lines if line)


STUDY = Study(
    name="study 3",
    evaluation="The study reports one run, its loss on the 10,000 test images after the frozen and after the unfrozen "
    "epochs, and one accuracy. Ours are means over runs: the loss on validation images, which are part of the "
    "60,000, and both classifiers, fitted to all training embeddings, on the 10,000 test images.",
    settings={
        "backbone": ("resnet34",), "weights": ("imagenet",), "head": ("study3",), "dropout": (0.25,),
        "embedding_dim": (128,), "margin": (1.0,), "distance": ("sql2",), "fallback": ("farthest",),
        "augmentation": ("affine",), "flip": (True,), "batch_size": (128,), "optimizer": ("adamw",),
        "schedule": ("one_cycle",), "lr": (5e-2,), "unfrozen_lr": (1e-4,), "backbone_lr_ratio": (0.1,),
        "freeze_epochs": (10,), "epochs": (30,),
    },
    runs={"loss": ("semihard",), "dataset": ("mnist",)},
    arms=(
        StudyArm(name="published", published={
            "validation loss, frozen": four(0.0792),
            "validation loss, at the end": four(0.0572),
            # Of one of the two, which is not said, fitted to the 60,000 training embeddings.
            "fitted SVM": f"about {number(0.993)} (this or kNN)",
            "fitted kNN": "",
            "runs": "1",
        }),
    ),
    tables=(
        StudyTable(layout="arms and our cells down", measures={
            "validation loss, frozen": _frozen,
            "validation loss, at the end": _last,
            "fitted SVM": of_trials("test_fitted_svm_accuracy"),
            "fitted kNN": of_trials("test_fitted_knn_accuracy"),
            "runs": count,
        }),
    ),
)  # fmt: skip
