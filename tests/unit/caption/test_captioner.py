"""The captioner: masks and padding, decoding with kept keys, beams, loss, batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from unit.caption.make import CAPTIONER

from tsp.caption.captioner import Captioner, beam_search, greedy, smoothed_loss
from tsp.caption.data import Segments, Streams
from tsp.caption.text import END, PADDING, START, Event
from tsp.caption.transformer import Encoder, position_code
from tsp.pretrain.config import ReleasedFile

WORDS = 11
GLOVE = ReleasedFile(path="glove.txt")
CONFIG = replace(CAPTIONER, layers=2, dropout=0.3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Captioner(4, 6, WORDS, CONFIG).eval()


def segments(sizes, *, words=None):
    """Segments of videos with so many features of sound and pictures each."""
    rng = np.random.default_rng(1)
    audio = {str(n): rng.normal(size=(a, 4)).astype(np.float32) for n, (a, _) in enumerate(sizes) if a}
    video = {str(n): rng.normal(size=(v, 6)).astype(np.float32) for n, (_, v) in enumerate(sizes)}
    events = [Event(video=str(n), start_s=0, end_s=9, duration_s=9, sentence="") for n in range(len(sizes))]
    return Segments(events, Streams(video=video, audio=audio, video_step_s=1.0), words)


def streams(batch):
    return batch["audio"], batch["video"], batch["audio_mask"], batch["video_mask"]


CAPTIONS = [[START, 5, 6, 7, END], [START, 4, END], [START, 8, 9, 4, 4, 10, END]]
SIZES = [(3, 7), (6, 2), (0, 5)]


def test_a_padded_batch_equals_unpadded_ones(model):
    data = segments(SIZES, words=CAPTIONS)
    items = [data[n] for n in range(3)]
    batch = data.collate(items)
    assert batch["audio"].shape == (3, 6, 4)
    together = model(*streams(batch), batch["words"])
    for row, item in enumerate(items):
        alone = data.collate([item])
        assert alone["audio_mask"].all()
        assert alone["video_mask"].all()
        n = len(CAPTIONS[row])
        np.testing.assert_allclose(
            together[row, :n].detach(), model(*streams(alone), alone["words"])[0].detach(), rtol=0, atol=1e-5
        )


def test_what_fills_the_padding_is_of_no_effect(model):
    data = segments(SIZES, words=CAPTIONS)
    batch = data.collate([data[n] for n in range(3)])
    before = model(*streams(batch), batch["words"])[0, :5]
    batch["audio"][0, 3:] = 77.0
    batch["words"][0, 5:] = PADDING
    np.testing.assert_allclose(before.detach(), model(*streams(batch), batch["words"])[0, :5].detach(), atol=1e-5)


def test_a_missing_modality_is_one_feature_of_zeros_that_is_seen(model):
    data = segments(SIZES)
    item = data[2]
    np.testing.assert_array_equal(item["audio"], np.zeros((1, 4)))
    assert data.collate([item])["audio_mask"].tolist() == [[True]]


def test_words_see_no_later_word(model):
    data = segments([(3, 4)])
    batch = data.collate([data[0]])
    one = model(*streams(batch), torch.tensor([[START, 5, 6, 7]]))
    other = model(*streams(batch), torch.tensor([[START, 5, 9, 9]]))
    np.testing.assert_allclose(one[0, :2].detach(), other[0, :2].detach(), atol=1e-6)
    assert (one[0, 2] - other[0, 2]).abs().max() > 1e-3


def recomputed(model, batch, most):
    """Greedy words as the released code finds them: the whole model on the prefix, word by word."""
    words = torch.full((len(batch["index"]), 1), START)
    while words.shape[1] <= most and not (words == END).any(1).all():
        log_p = model(*streams(batch), words)
        words = torch.cat([words, log_p[:, -1].argmax(-1, keepdim=True)], dim=1)
    return words[:, 1:].tolist()


@torch.no_grad()
def test_kept_keys_give_the_same_words(model):
    # Weights of this size make up their mind differently at every word.
    for parameter in model.parameters():
        parameter.mul_(2.0)
    data = segments([(3, 7), (6, 2), (0, 5), (1, 1), (9, 9)])
    batch = data.collate([data[n] for n in range(5)])
    found = greedy(model, model.memory(*streams(batch)), 12)
    assert len({tuple(row) for row in found}) > 1
    assert found == recomputed(model, batch, 12)


@torch.no_grad()
def test_steps_equal_the_whole_prefix(model):
    data = segments(SIZES)
    batch = data.collate([data[n] for n in range(3)])
    words = torch.tensor([[START, 5, 6], [START, 7, 4], [START, 9, 9]])
    whole, memory, past = model(*streams(batch), words), model.memory(*streams(batch)), []
    for t in range(3):
        log_p, past = model.step(words[:, t], memory, past)
        np.testing.assert_allclose(log_p, whole[:, t], rtol=0, atol=1e-5)


@torch.no_grad()
def test_decoding_stops_when_all_have_ended(model):
    data = segments(SIZES)
    memory = model.memory(*streams(data.collate([data[n] for n in range(3)])))
    model.generator.bias[END] = 100.0
    assert greedy(model, memory, 30) == [[END]] * 3
    model.generator.bias[END] = -100.0
    assert {len(row) for row in greedy(model, memory, 30)} == {30}


@torch.no_grad()
def test_one_beam_is_greedy(model):
    data = segments(SIZES)
    memory = model.memory(*streams(data.collate([data[n] for n in range(3)])))
    cut = [row[: row.index(END) + 1] if END in row else row for row in greedy(model, memory, 9)]
    found = [row[: row.index(END) + 1] if END in row else row for row in beam_search(model, memory, 9, 1)]
    assert found == cut


@torch.no_grad()
def test_a_wide_beam_finds_the_most_likely_caption(model):
    """Among all captions of at most two words."""
    data = segments([(3, 4)])
    batch = data.collate([data[0]])
    memory = model.memory(*streams(batch))

    pairs = torch.cartesian_prod(torch.arange(WORDS), torch.arange(WORDS))
    prefixes = torch.cat([torch.full((len(pairs), 1), START), pairs[:, :1]], dim=1)
    log_p = model(*(x.expand(len(pairs), *x.shape[1:]) for x in streams(batch)), prefixes)
    # After an end there is nothing more to say.
    second = torch.where(pairs[:, 0] == END, 0.0, log_p[:, 1].gather(1, pairs[:, 1:])[:, 0])
    best = pairs[(log_p[:, 0].gather(1, pairs[:, :1])[:, 0] + second).argmax()].tolist()
    (found,) = beam_search(model, memory, 2, WORDS * WORDS)
    assert found[: 1 + (found[0] != END)] == best[: 1 + (best[0] != END)]


def test_loss_equals_the_divergence_of_both_distributions():
    torch.manual_seed(0)
    log_p = torch.log_softmax(torch.randn(4, 3, WORDS, dtype=torch.float64), dim=-1)
    wanted = torch.randint(4, WORDS, (4, 3))
    wanted[1, 2] = PADDING
    target = torch.full((4, 3, WORDS), 0.4 / (WORDS - 2), dtype=torch.float64)
    target.scatter_(2, wanted[..., None], 0.6)
    target[..., PADDING] = 0
    target[wanted == PADDING] = 0
    expected = torch.nn.functional.kl_div(log_p, target, reduction="sum")
    total, n = smoothed_loss(log_p, wanted, 0.4)
    assert float(total) == pytest.approx(float(expected), abs=1e-9)
    assert int(n) == 11


def test_loss_without_smoothing_is_the_likelihood():
    log_p = torch.log_softmax(torch.arange(6.0).expand(2, 6), dim=-1)
    total, _ = smoothed_loss(log_p, torch.tensor([2, 5]), 0.0)
    assert float(total) == pytest.approx(-float(log_p[0, 2] + log_p[1, 5]), abs=1e-5)


def test_dropout_is_on_the_weighted_values():
    """With everything else exact, a query's result is either that of no dropout or zero, head by head."""
    encoder = Encoder(4, 6, CONFIG)
    attention = encoder.layers[0].audio_self.attention
    torch.nn.init.eye_(attention.out.weight[:, :4])
    assert attention.dropout.p == 0.3
    x = torch.randn(1, 50, 4)
    values = attention.keys_values(x)
    attention.eval()
    weighted = torch.nn.functional.scaled_dot_product_attention(attention._split(attention.to_query(x)), *values)
    attention.train()
    attention.out = torch.nn.Identity()
    found = attention(x, values, None)
    expected = weighted.transpose(1, 2).flatten(2)
    kept = found != 0
    np.testing.assert_allclose(found[kept].detach(), (expected / 0.7)[kept].detach(), rtol=1e-5)
    assert 0.6 < kept.float().mean() < 0.8


def test_vectors_of_another_width_are_mapped():
    vectors = torch.randn(WORDS, 5)
    model = Captioner(4, 6, WORDS, replace(CONFIG, train_vectors=False, vectors=GLOVE), vectors)
    torch.testing.assert_close(model.table.weight, vectors)
    assert not model.table.weight.requires_grad
    data = segments(SIZES, words=CAPTIONS)
    batch = data.collate([data[n] for n in range(3)])
    assert model(*streams(batch), batch["words"]).shape == (3, 7, WORDS)


def test_positions_go_on_behind_the_first_word():
    torch.testing.assert_close(position_code(9, 4)[5:], position_code(12, 4)[5:9])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"width": 15}, "multiple"),
        ({"smoothing": 1.0}, "smoothing"),
        ({"beam": 0}, "at least 1"),
        ({"train_vectors": False}, "train_vectors"),
    ],
)
def test_refused_options(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(CAPTIONER, **changes)
