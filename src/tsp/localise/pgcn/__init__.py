"""P-GCN: graph convolution over another method's proposals (Zeng et al., ICCV 2019), as one method."""

from tsp.localise.pgcn.config import Config
from tsp.localise.pgcn.method import POST_PROCESS, REFINES, infer, post_process, propose, train

__all__ = ["POST_PROCESS", "REFINES", "Config", "infer", "post_process", "propose", "train"]
