"""P-GCN: graph convolution over another method's proposals (Zeng et al., ICCV 2019), as one method."""

from tsp.localise.pgcn.config import Config
from tsp.localise.pgcn.method import POST_PROCESS, infer, post_process, propose, train

__all__ = ["POST_PROCESS", "Config", "infer", "post_process", "propose", "train"]
