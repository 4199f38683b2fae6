import math

import pytest
import torch
from torch import nn

from tsp.pretrain.model import TspModel, head_hits, head_losses


class Mean(nn.Module):
    feature_dim = 3

    def forward(self, clips):
        return clips.mean(dim=(2, 3, 4))


def total(terms):
    return sum(t.weight * t.sum / max(1, t.count) for t in terms.values())


def test_names_and_shapes_of_one_and_two_heads():
    both = TspModel(Mean(), {"action": 5, "region": 2}, gvf_dim=4)
    shapes = {n: tuple(p.shape) for n, p in both.named_parameters()}
    assert shapes == {"fc1.weight": (5, 3), "fc1.bias": (5,), "fc2.weight": (2, 7), "fc2.bias": (2,)}
    assert set(dict(TspModel(Mean(), {"action": 5}).named_parameters())) == {"fc.weight", "fc.bias"}
    assert TspModel(Mean(), {"region": 2}).fc.weight.shape == (2, 3)


def test_heads_start_small_and_without_bias():
    torch.manual_seed(0)
    head = TspModel(Mean(), {"action": 4000}).fc
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not head.bias.any()


def test_region_head_sees_the_gvf_behind_the_clip_and_the_action_head_does_not():
    model = TspModel(Mean(), {"action": 2, "region": 2}, gvf_dim=3)
    with torch.no_grad():
        model.fc2.weight.copy_(torch.tensor([[1.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]]))
    clips = torch.ones(2, 3, 2, 2, 2) * torch.tensor([3.0, 4, 5]).view(1, 3, 1, 1, 1)
    logits = model(clips, torch.tensor([[6.0, 7, 8], [9, 10, 11]]))
    assert logits["region"].tolist() == [[3, 8], [3, 11]]
    assert torch.equal(logits["action"][0], logits["action"][1])
    with pytest.raises(TypeError, match="global video features"):
        model(clips)


def test_loss_of_foreground_and_background_by_hand():
    """Clip 1 is labelled (a, Action), clip 2 is background: CE_action(1) + (CE_region(1) + CE_region(2)) / 2."""
    logits = {"action": torch.tensor([[2.0, 0, 0], [9.0, 9, 9]]), "region": torch.tensor([[1.0, 0], [0.5, 0]])}
    labels = {"action": torch.tensor([0, -1]), "region": torch.tensor([0, 1])}
    action = math.log(1 + 2 * math.exp(-2))
    region = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(0.5))) / 2
    assert total(head_losses(logits, labels, {})).item() == pytest.approx(action + region, rel=1e-6)
    weighted = head_losses(logits, labels, {"action": 2.0, "region": 0.5})
    assert total(weighted).item() == pytest.approx(2 * action + 0.5 * region, rel=1e-6)


def test_batch_without_labels_gives_zero_loss_and_zero_gradients():
    logits = {"action": torch.randn(4, 3, requires_grad=True), "region": torch.randn(4, 2, requires_grad=True)}
    terms = head_losses(logits, {"action": torch.full((4,), -1), "region": torch.full((4,), -1)}, {})
    loss = total(terms)
    loss.backward()
    assert loss.item() == 0 and not logits["action"].grad.any()


def test_hits_count_labelled_clips_only():
    scores = torch.tensor([[1.0, 0], [1.0, 0], [0.0, 1]])
    hits, count = head_hits(scores, torch.tensor([0, -1, 0]))
    assert (hits.item(), count.item()) == (1, 2)
