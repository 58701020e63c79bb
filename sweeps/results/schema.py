"""The tables of a sweep: explicit types, unit and description per column. Only nullable additions within version 1.

Schema metadata cannot be read off the values: a column first written as int64 makes some readers turn .001 into 0.
"""

import types
from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from embedding_core.config.train_config import TrainConfig, field_types
from embedding_core.plugins.declarations import Field

SCHEMA_VERSION: Final = 1

STAGES: Final = ("search", "tune", "confirm")
"""`search` is adaptive (TPE + ASHA) and only ever described; effects rest on `tune` and `confirm`."""

_STRING, _FLOAT, _INT, _BOOL = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_TIME = pa.timestamp("us", tz="UTC")
_ARROW_OF: Final = {bool: _BOOL, int: _INT, float: _FLOAT, str: _STRING}


def _column(name: str, type_: pa.DataType, description: str, unit: str = "1") -> pa.Field:
    return pa.field(name, type_, metadata={"description": description, "unit": unit})


def _config_columns() -> list[pa.Field]:
    """One typed column per `TrainConfig` field, null where the field is None."""
    columns = []
    for name, allowed in field_types(TrainConfig).items():
        kind = next(t for t in allowed if t is not types.NoneType)
        columns.append(_column(name, _ARROW_OF[kind], f"TrainConfig.{name}"))
    return columns


def plugin_columns(fields: Mapping[str, Field]) -> list[pa.Field]:
    """Columns of `trials` for fields of plug-ins, by flat name: doubles and strings, to be read without them."""
    return [
        _column(name, _STRING if field.kind is str else _FLOAT, "field of a plug-in; true is 1")
        for name, field in fields.items()
    ]


def is_plugin_column(name: str) -> bool:
    """Whether a column of `trials` is a field of a plug-in, `loss.alpha` say."""
    return "." in name


def _ids() -> list[pa.Field]:
    return [
        _column("trial_id", _STRING, "our stable id, `t00012`: Optuna's number or the plan's index"),
        _column("attempt", _INT, "1 + the highest attempt already published for the trial"),
    ]


TRIALS: Final = pa.schema(
    [
        *_ids(),
        _column("ray_trial_id", _STRING, "Ray Tune's id in the run that ended the trial"),
        _column("study_id", _STRING, "name of the sweep"),
        _column("cell_id", _STRING, "combination of scientific levels, e.g. `koleo=on`"),
        _column("replicate", _INT, "which tuning and its confirmation, 1..R; null in older sweeps: the first"),
        _column("block", _INT, "seed index shared by all cells: 0 in search, 500 + point in tune, 1..S in confirm"),
        _column(
            "origin",
            _STRING,
            "source of the nuisance values: `sampled` (TPE), `designed` (common), `drop-in`, `best of ...`",
        ),
        _column("point", _INT, "index of the settings in the stage tune, shared by its cells"),
        *_config_columns(),
        _column("config_json", _STRING, "canonical JSON of the configuration asked for"),
        _column("config_sha256", _STRING, "hash of config_json"),
        _column("config_seen_sha256", _STRING, "hash of the configuration rebuilt from live objects after a step"),
        _column("config_seen_differences", _STRING, "in what that differs from the one asked for; null: in nothing"),
        _column("master_seed", _INT, "the replicate's seed: the sweep's + replicate - 1"),
        _column("plan_sha256", _STRING, "hash of the plan as it was frozen; confirm only"),
        _column("sampler", _STRING, "what chose the configuration"),
        _column("tuned_by", _STRING, "column of `curves` that settings are chosen by; null in older sweeps: val_auc"),
        _column("scheduler", _STRING, "what could stop the trial early"),
        _column("stop_exempt", _BOOL, "drawn to be exempt from early stopping"),
        _column("exempt_prob", _FLOAT, "probability of that draw"),
        _column("end_reason", _STRING, "one of END_REASONS"),
        _column("censored", _BOOL, "ended before its last epoch by ASHA, preemption or the user"),
        _column("last_epoch", _INT, "epochs completed", "epoch"),
        _column("updates_done", _INT, "optimiser steps", "update"),
        _column("stop_rung", _INT, "rung at which ASHA stopped the trial", "image"),
        _column("would_stop_rung", _INT, "rung at which ASHA would have stopped an exempt trial", "image"),
        _column("stop_cutoff", _FLOAT, "ASHA's cutoff at that rung", "AUC"),
        _column("error_type", _STRING, "class and first line of the error that ended the trial"),
        _column("traceback", _STRING, "end of the traceback of that error, where it was one of our code"),
        _column("final_val_auc", _FLOAT, "validation AUC of the last row", "AUC"),
        _column("final_val_recall_at_1", _FLOAT, "validation recall at 1 of the last row"),
        _column("final_val_map_at_r", _FLOAT, "validation MAP@R of the last row"),
        _column("final_val_knn_accuracy", _FLOAT, "validation kNN accuracy of the last row"),
        _column("best_val_auc", _FLOAT, "highest validation AUC of any row", "AUC"),
        _column("best_epoch", _INT, "epoch of best_val_auc", "epoch"),
        _column("test_auc", _FLOAT, "all-pairs AUC on the test split at the final epoch; confirm only", "AUC"),
        _column("test_recall_at_1", _FLOAT, "share of test images whose nearest other is of their class"),
        _column("test_recall_at_2", _FLOAT, "the same among its 2 nearest others; class-disjoint test sets only"),
        _column("test_recall_at_4", _FLOAT, "the same among its 4 nearest others; class-disjoint test sets only"),
        _column("test_recall_at_8", _FLOAT, "the same among its 8 nearest others; class-disjoint test sets only"),
        _column("test_map_at_r", _FLOAT, "mean average precision at R on the test split"),
        _column("test_knn_accuracy", _FLOAT, "leave-one-out vote of a test image's 20 nearest others"),
        _column("test_accuracy", _FLOAT, "share of test images classified right; arcface and softmax only"),
        _column("test_fitted_svm_accuracy", _FLOAT, "linear SVM fitted on all training embeddings, test split"),
        _column("test_fitted_knn_accuracy", _FLOAT, "vote of the 10 nearest training embeddings, test split"),
        _column("unseen_auc", _FLOAT, "all-pairs AUC on the unseen classes", "AUC"),
        _column("unseen_recall_at_1", _FLOAT, "share of images of unseen classes whose nearest other is of theirs"),
        _column("unseen_map_at_r", _FLOAT, "mean average precision at R on the unseen classes"),
        _column("unseen_knn_accuracy", _FLOAT, "leave-one-out vote of the 20 nearest others, unseen classes"),
        _column("collapsed", _BOOL, "embeddings judged collapsed at the last row"),
        _column("started_at", _TIME, "start of the attempt"),
        _column("ended_at", _TIME, "end of the attempt"),
        _column("wall_s", _FLOAT, "training and evaluation time over all attempts", "s"),
        _column("gpu_s", _FLOAT, "wall_s x gpu_share", "s"),
        _column("gpu_share", _FLOAT, "GPUs held by the trial"),
        _column("peak_gpu_bytes", _INT, "peak memory allocated on the device", "B"),
        _column(
            "images_seen",
            _INT,
            "images forwarded, 3 per triplet and 2 per pair of views, counted once in either accum_mode",
            "image",
        ),
        _column("split_sha256", _STRING, "hash of the train/validation/test indices"),
        _column("pairs_sha256", _STRING, "hash of the validation triplets"),
        _column("data_sha256", _STRING, "hash of the images and labels trained on"),
        _column(
            "weights_sha256", _STRING, "hash of the file of initial weights; null without one, and in older sweeps"
        ),
        _column("test_sha256", _STRING, "hash of the images and labels of the test split; confirm only"),
        _column(
            "classes_tested",
            _STRING,
            "how the classes of the test split relate to those trained on; null where all are, and in older sweeps",
        ),
        _column("views_failed", _STRING, "views of the embeddings that could not be computed, and why; null: none"),
        _column("git_sha", _STRING, "commit of the code"),
        _column("git_dirty", _BOOL, "whether the code differed from that commit"),
        _column("versions", _STRING, "JSON of the versions of Python, torch, ray, optuna, numpy, pyarrow"),
        _column("device_name", _STRING, "device that trained"),
        _column("precision_used", _STRING, "precision of the backbone that ran"),
        _column("cpu_threads", _INT, "threads torch used"),
        _column("hostname", _STRING, "machine that trained"),
        _column("node_id", _STRING, "Ray node that trained"),
        _column("node_type", _STRING, "the autoscaler's name of that node's type; null on machines of one's own"),
        _column("machine_image", _STRING, "image that node was started from, an AMI; null on machines of one's own"),
        _column("argv", _STRING, "command line of the driver"),
    ]
)

CURVES: Final = pa.schema(
    [
        *_ids(),
        _column("epoch", _INT, "epochs completed", "epoch"),
        _column("update", _INT, "optimiser steps", "update"),
        _column("images_seen", _INT, "images forwarded, 3 per triplet and 2 per pair of views", "image"),
        _column("elapsed_s", _FLOAT, "training and evaluation time so far", "s"),
        _column("train_s", _FLOAT, "training time of this epoch, evaluation excluded", "s"),
        _column("lr", _FLOAT, "learning rate of the last update"),
        _column("loss_total", _FLOAT, "mean training loss over the epoch"),
        _column("loss_base", _FLOAT, "mean base loss over the epoch"),
        _column("miner", _STRING, "positive/negative mined in this epoch, or `random`; mined only"),
        _column("loss_floor", _FLOAT, "NT-Xent of orthogonal negatives, mean over the epoch's neighbourhoods"),
        _column("loss_chance", _FLOAT, "NT-Xent of guessing, mean over the epoch's neighbourhoods"),
        _column("val_loss_floor", _FLOAT, "the same at the neighbourhood of the validation loss, a batch"),
        _column("val_loss_chance", _FLOAT, "the same at the neighbourhood of the validation loss, a batch"),
        _column("loss_koleo", _FLOAT, "mean KoLeo over the epoch, unweighted; null when off"),
        _column("grad_norm", _FLOAT, "mean Euclidean norm of the gradient over the epoch"),
        _column("active_triplet_frac", _FLOAT, "share of training triplets with a positive hinge"),
        _column("accuracy", _FLOAT, "share of training images classified right; arcface and softmax only"),
        _column("koleo_nn_same_class_frac", _FLOAT, "share of KoLeo's nearest neighbours of the same class"),
        _column("koleo_nn_dist_mean", _FLOAT, "mean Euclidean distance to KoLeo's nearest neighbour"),
        _column("micro_full_grad_cos", _FLOAT, "cosine of naive and full-batch embedding gradients"),
        _column("nn_agreement", _FLOAT, "share of full-batch nearest neighbours kept by naive accumulation"),
        _column("micro_full_grad_norm_ratio", _FLOAT, "length of the naive embedding gradient over the full-batch one"),
        _column("micro_full_loss_diff", _FLOAT, "naive minus full-batch loss on the same embeddings"),
        _column("val_loss", _FLOAT, "base loss on the validation images (mined: always hard/hard)"),
        _column("val_leak_share", _FLOAT, "share of validation triplets with an image that is trained on"),
        _column("val_accuracy", _FLOAT, "share of validation images classified right; arcface and softmax only"),
        _column("val_auc", _FLOAT, "all-pairs AUC on the validation images; in older sweeps, val_triplet_auc", "AUC"),
        _column("val_recall_at_1", _FLOAT, "share of validation images whose nearest other is of their class"),
        _column("val_map_at_r", _FLOAT, "mean average precision at R on the validation images"),
        _column("val_knn_accuracy", _FLOAT, "leave-one-out vote of a validation image's 20 nearest others"),
        _column("val_feature_std", _FLOAT, "mean deviation of an embedding's coordinates; 1/sqrt(d) if isotropic"),
        _column("val_triplet_auc", _FLOAT, "pair AUC on the fixed validation triplets, cosine", "AUC"),
        _column("val_triplet_auc_se", _FLOAT, "Hanley-McNeil standard error of val_triplet_auc", "AUC"),
        _column(
            "val_auc_se", _FLOAT, "in older sweeps: standard error of their val_auc, as now val_triplet_auc_se", "AUC"
        ),
        _column("val_good_triplet_ratio", _FLOAT, "share of validation triplets with d(a,p) < d(a,n)"),
        _column("val_intra", _FLOAT, "mean cosine distance within a class, self pairs excluded"),
        _column("val_inter", _FLOAT, "mean cosine distance between classes"),
        _column("val_effective_rank", _FLOAT, "exp of the entropy of the singular values, uncentred"),
        _column("val_uniformity", _FLOAT, "log mean Gaussian potential of all pairs; lower is more uniform"),
        _column("val_alignment", _FLOAT, "mean squared distance of positive pairs"),
        _column("val_nn_distance", _FLOAT, "mean Euclidean distance to the nearest neighbour"),
        _column("val_sim_mean", _FLOAT, "mean cosine similarity of distinct images"),
        _column("val_sim_var", _FLOAT, "variance of that similarity"),
        _column("val_sim_min", _FLOAT, "lowest similarity"),
        _column("val_sim_max", _FLOAT, "highest similarity"),
        _column("test_auc", _FLOAT, "all-pairs AUC on the test split; last row of confirm only", "AUC"),
        _column("collapsed", _BOOL, "embeddings judged collapsed at this row"),
        _column("is_finite", _BOOL, "loss and metrics finite"),
    ]
)

RUNGS: Final = pa.schema(
    [
        *_ids(),
        _column("rung", _INT, "milestone", "image"),
        _column("value", _FLOAT, "validation AUC at the milestone; null if not finite", "AUC"),
        _column("cutoff", _FLOAT, "what the value was compared with; null for the first trial", "AUC"),
        _column("decision", _STRING, "`continue`, `stop`, or `exempt`: below the cutoff but drawn to go on"),
        _column("is_finite", _BOOL, "whether the value was finite"),
    ]
)

EVALUATIONS: Final = pa.schema(
    [
        *_ids(),
        _column("checkpoint", _STRING, "which weights: `final`"),
        _column("split", _STRING, "`val`, `test` or `unseen`"),
        _column("metric", _STRING, "name of the metric"),
        _column("k", _INT, "its neighbour count, where it has one"),
        _column("value", _FLOAT, "its value"),
        _column("se", _FLOAT, "its standard error, where known"),
        _column("n_pairs", _INT, "pairs it was computed from"),
        _column("is_finite", _BOOL, "whether the value was finite"),
    ]
)

EVAL_GROUPS: Final = pa.schema(
    [
        *_ids(),
        _column("split", _STRING, "`test` or `unseen`"),
        _column(
            "metric", _STRING, "name of the metric: a distance is a mean cosine distance, an area is of a PCA ellipse"
        ),
        _column("k", _INT, "its neighbour count, where it has one"),
        _column("class_id", _INT, "label of the class"),
        _column("class_name", _STRING, "its name, or its label as text"),
        _column("value", _FLOAT, "the metric over the images of the class"),
        _column("se", _FLOAT, "its standard error over those images, where known"),
        _column("n", _INT, "images of the class", "image"),
        _column("is_finite", _BOOL, "whether value and standard error were finite"),
    ]
)

VIEW_NAMES: Final = (
    "pca",
    "umap",
    "tsne",
    "pca_axis",
    "ellipse",
    "class_distance",
    "class_distance_l2",
    "class_distance_angular",
    "closest",
    "farthest",
    "foreign",
    "neighbours",
    "neighbours_grey",
    "spectrum",
)
"""What a row of `views` belongs to: a point of a plane, the share of variance of a PCA axis, the ellipse of a class in
the PCA plane, a pair of classes, an image of a sheet, or a singular value."""

VIEWS: Final = pa.schema(
    [
        *_ids(),
        _column("split", _STRING, "`test`, `unseen` or `train`"),
        _column("view", _STRING, "one of VIEW_NAMES"),
        _column("item", _INT, "point, axis, class, query or singular value, counted from 0 (a class by its label)"),
        _column("rank", _INT, "place in the item's order (0: the query itself), or label of the other class; else 0"),
        _column("class_id", _INT, "label of the point, of the query, or of the class that the item is about"),
        _column("class_name", _STRING, "its name, or its label as text"),
        _column("other_class_id", _INT, "label of the image shown, or of the other class of a pair"),
        _column("other_class_name", _STRING, "its name, or its label as text"),
        _column("image_index", _INT, "place of the image in its split", "image"),
        _column(
            "x", _FLOAT, "first coordinate of the point or the centre, in units of the embedding (UMAP, t-SNE: none)"
        ),
        _column("y", _FLOAT, "second coordinate"),
        _column("width", _FLOAT, "full longer axis of the ellipse that half of the class lies in"),
        _column("height", _FLOAT, "full shorter axis"),
        _column("angle", _FLOAT, "of the longer axis against x", "degree"),
        _column("value", _FLOAT, "cosine to the class mean or query, mean distance, area, share, singular value"),
        _column("thumbnail", pa.binary(), "the image, PNG, made smaller where it is large"),
        _column("n", _INT, "images that the item rests on", "image"),
        _column("seed", _INT, "of the images drawn and of the projection"),
        _column("is_finite", _BOOL, "whether every number was finite"),
    ]
)

EMBEDDINGS: Final = pa.schema(
    [
        *_ids(),
        _column("split", _STRING, "`test` or `unseen`"),
        _column("image_index", _INT, "place of the image in its split", "image"),
        _column("label", _INT, "its class"),
        # A fixed size would be part of the type, but one table holds trials of several embedding sizes.
        _column("embedding", pa.list_(pa.float32()), "what `held_out_layer` names, in evaluation mode, of unit length"),
    ]
)

CONTRASTS: Final = pa.schema(
    [
        _column("estimand", _STRING, "what is estimated, e.g. `koleo`"),
        _column("label", _STRING, "the same in words: `accumulation (K=4 against 1) with KoLeo`"),
        _column("control", _STRING, "cell_id of the control; several, with a negative weight, are joined by +"),
        _column("treatment", _STRING, "cell_id of the treatment; several are joined by +"),
        _column("metric", _STRING, "outcome, e.g. `test_auc`"),
        _column("estimate", _FLOAT, "mean over units of the weighted sum of cells"),
        _column("ci_low", _FLOAT, "lower end of the 95 % interval, of primaries simultaneous over their family"),
        _column("ci_high", _FLOAT, "upper end of it"),
        _column("standard_error", _FLOAT, "of the estimate"),
        _column("p_value", _FLOAT, "two-sided, times the size of the family, at most 1; primaries only"),
        _column("n", _INT, "independent units"),
        _column("unit", _STRING, "`replicate`, or `block`: seeds of a single tuning"),
        _column("blocks", _INT, "seeds per replicate"),
        _column("sesoi", _FLOAT, "smallest effect size of interest; primaries only"),
        _column("equivalent", _BOOL, "90 % interval, simultaneous too, inside +-sesoi (TOST); primaries only"),
        _column("verdict", _STRING, "pilot, beyond, unsettled, below_sesoi, equivalent or no_evidence; primaries only"),
        _column("sentence", _STRING, "the generated wording; primaries and controls"),
        _column("code", _STRING, "place among the estimands: `E1`; `E2, E3` where two are one by identity"),
        _column(
            "family",
            _STRING,
            "`primary`, `beside` (on another outcome), `common` (at settings cells share), `exploratory`, `control`",
        ),
        _column("family_size", _INT, "effects that interval and p are simultaneous over; primaries only"),
        _column("anytime", _BOOL, "whether the interval holds at every look while replicates come in; primaries only"),
        _column("weights", _STRING, "JSON: cell_id -> weight"),
        _column("scale", _STRING, "`raw`, or `share`: of KoLeo's effect that accumulation takes back"),
        _column("epoch", _INT, "mark of the curves; null: final epoch", "epoch"),
        _column("tau_squared", _FLOAT, "variance of the contrast between tunings"),
        _column("share_above_zero", _FLOAT, "units with the treatment above the control, ties half: P(A > B)"),
        _column("share_above_zero_low", _FLOAT, "lower end of its 95 % interval (Wilson)"),
        _column("share_above_zero_high", _FLOAT, "upper end of it"),
        _column("detectable_low", _FLOAT, "effect detected with probability .8; at the low end of the SD's interval"),
        _column("detectable_high", _FLOAT, "the same at the high end"),
        _column("crossed_low", _FLOAT, "lower end of the 95 % bootstrap interval over units x classes"),
        _column("crossed_high", _FLOAT, "upper end of it"),
    ]
)

TABLES: Final[dict[str, pa.Schema]] = {
    "trials": TRIALS,
    "curves": CURVES,
    "rungs": RUNGS,
    "evaluations": EVALUATIONS,
    "eval_groups": EVAL_GROUPS,
    "views": VIEWS,
    "embeddings": EMBEDDINGS,
    "contrasts": CONTRASTS,
}

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "trials": ("trial_id",),
    "curves": ("trial_id", "epoch"),
    "rungs": ("trial_id", "rung"),
    "evaluations": ("trial_id", "checkpoint", "split", "metric", "k"),
    "eval_groups": ("trial_id", "split", "metric", "k", "class_id"),
    "views": ("trial_id", "split", "view", "item", "rank"),
    "embeddings": ("trial_id", "split", "image_index"),
}
"""What identifies a row; of several attempts the latest wins."""
