import pytest

from tsp.config.load import build
from tsp.errors import TspError
from tsp.pretrain.config import ReleasedFile, RunConfig


def test_defaults_are_the_papers():
    run = RunConfig(encoder="r2plus1d_34")
    t = run.trainer
    assert (t.epochs, t.batch_size, t.momentum, t.weight_decay) == (8, 32, 0.9, 0.005)
    assert (t.schedule, t.warmup_epochs, t.warmup_factor, t.milestones, t.gamma) == (
        "warmup_steps",
        2,
        1e-5,
        (4, 6),
        0.01,
    )
    assert (t.replicas, t.loss_mean, run.lr_scale, t.tf32) == (2, "replica", "replicas", False)
    assert (t.optimizer, t.amp, t.grad_clip, t.accumulate) == ("sgd", "off", None, 1)
    assert (run.stem_lr, run.clips_per_segment, run.flip) == (0, 5, 0.5)


def test_other_trainer_options_keep_the_papers():
    run = build(RunConfig, {"encoder": "x", "trainer": {"epochs": 2}}, "run")
    assert (run.trainer.epochs, run.trainer.weight_decay) == (2, 0.005)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"heads": []}, "heads"),
        ({"heads": ["action", "action"]}, "heads"),
        ({"gvf": "max"}, "gvf: needs start"),
        ({"gvf": "max", "start": "k", "heads": ["action"]}, "gvf: needs start"),
        ({"dataset": "d", "weights": {"path": "a"}}, "a run with a dataset is trained"),
        ({"weights": {}}, "either url or path"),
        ({"weights": {"url": "u", "sha256": "12"}}, "shorter than 8"),
        ({"clips_per_segment": 0}, "at least 1"),
        ({"trainer": {"epochs": 0}}, "epochs is 0"),
    ],
)
def test_meaningless_runs_are_refused(wrong, text):
    with pytest.raises(TspError, match=text):
        build(RunConfig, {"encoder": "x", **wrong}, "run")


def test_weights_come_from_one_place():
    with pytest.raises(ValueError, match="either"):
        ReleasedFile(url="u", path="p")
