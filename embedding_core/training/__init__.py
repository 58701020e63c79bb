"""What one optimiser step is made of, its rate, and what is kept and observed of a run."""

from embedding_core.training.accumulation import StepReport, accumulated_step
from embedding_core.training.accumulation_gap import AccumulationGap, measure_gap, nn_agreement
from embedding_core.training.fingerprint import Observation, observe
from embedding_core.training.optimizers import LARS, OPTIMIZERS, build_optimizer
from embedding_core.training.schedules import lr_at, schedule_of, set_lr

__all__ = [
    "LARS",
    "OPTIMIZERS",
    "AccumulationGap",
    "Observation",
    "StepReport",
    "accumulated_step",
    "build_optimizer",
    "lr_at",
    "measure_gap",
    "nn_agreement",
    "observe",
    "schedule_of",
    "set_lr",
]
