"""pytorch-metric-learning's MultiSimilarityLoss on the pairs that its miner picks.

python sweeps/koleo_accum.py --plugin examples/plugins/multi_similarity.py --loss multi_similarity --set loss.beta=40
"""

from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch import Tensor, nn

from embedding_core.plugins import loss


class MinedMultiSimilarity(nn.Module):
    """`forward(z, labels)` is all that a loss needs."""

    def __init__(self, alpha: float, beta: float, base: float, epsilon: float) -> None:
        super().__init__()
        self.miner = MultiSimilarityMiner(epsilon=epsilon)
        self.loss = MultiSimilarityLoss(alpha=alpha, beta=beta, base=base)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Mean over the anchors; 0 where nothing is mined."""
        value: Tensor = self.loss(z, labels, self.miner(z, labels))
        return value


@loss("multi_similarity", sees="batch")
def multi_similarity(alpha: float = 2.0, beta: float = 50.0, base: float = 0.5, epsilon: float = 0.1) -> nn.Module:
    """Its settings are `loss.alpha`, `loss.beta`, `loss.base` and `loss.epsilon`."""
    return MinedMultiSimilarity(alpha, beta, base, epsilon)
