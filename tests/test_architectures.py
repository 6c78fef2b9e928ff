"""Architectures of the hypernetwork: what they compute, and that models with them work."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.base import clone
from small import able, tiny, trial
from torch import nn

from hypercate import HyperCATE
from hypercate.generator.architectures import ARCHITECTURES, matrix_shapes, over_pieces
from hypercate.generator.hypernetwork import HyperNet
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.generator.profiles import profiles

OTHERS = [name for name in ARCHITECTURES if name != "mlp"]
NETS, ARMS, PIECES, WIDTH = 2, 3, 5, 4


def drawn(architecture):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(NETS, ARMS, PIECES, WIDTH, generator=generator)
    matrices = {
        name: torch.randn(NETS, *shape, generator=generator) / 2
        for name, shape in matrix_shapes(architecture, WIDTH).items()
    }
    return hidden, matrices


def generator_of(architecture, **changed):
    net = OutcomeNet(2, (3, 2), "blunt_silu")
    shape = {"net": net, "n_arms": 3, "generation": "chunk", "n_chunks": 4, "n_heads": 1,
             "embedding_dim": 3, "hidden": (4,), "dropout": 0.0, "spectral_norm": False,
             "architecture": architecture}  # fmt: skip
    hypernet = HyperNet(**shape | changed)
    start = hypernet.init(
        profiles(["weak"] * 2, net), torch.ones(2, 2), torch.Generator().manual_seed(0)
    )
    return hypernet, *start


class TestWhatIsComputed:
    def test_mlp_leaves_pieces_alone(self):
        hidden, matrices = drawn("mlp")
        assert not matrices
        assert over_pieces("mlp", hidden, matrices.get) is hidden

    def test_rnn_is_torchs_gated_recurrent_unit(self):
        hidden, matrices = drawn("rnn")
        found = over_pieces("rnn", hidden, matrices.get) - hidden
        for net in range(NETS):
            unit = nn.GRU(WIDTH, WIDTH, bias=False, batch_first=True)
            update, reset, new = matrices["gates"][net].chunk(3, dim=1)
            of_update, of_reset, of_new = matrices["recurrent"][net].chunk(3, dim=1)
            with torch.no_grad():
                unit.weight_ih_l0.copy_(torch.cat([reset, update, new], 1).T)
                unit.weight_hh_l0.copy_(torch.cat([of_reset, of_update, of_new], 1).T)
                torch.testing.assert_close(found[net], unit(hidden[net])[0])

    def test_cnn_is_torchs_convolution(self):
        hidden, matrices = drawn("cnn")
        found = over_pieces("cnn", hidden, matrices.get) - hidden
        for net in range(NETS):
            kernel = matrices["kernel"][net].view(3, WIDTH, WIDTH).permute(2, 1, 0)
            expected = torch.tanh(F.conv1d(hidden[net].transpose(1, 2), kernel, padding=1))
            torch.testing.assert_close(found[net], expected.transpose(1, 2))

    def test_attention_averages_values_by_softmax(self):
        hidden, matrices = drawn("attention")
        found = over_pieces("attention", hidden, matrices.get) - hidden
        query, key, value = (hidden @ matrices[name][:, None] for name in matrices)
        share = torch.softmax(query @ key.transpose(2, 3) / WIDTH**0.5, dim=3)
        torch.testing.assert_close(found, share @ value)


class TestGenerators:
    @pytest.mark.parametrize("architecture", ARCHITECTURES)
    def test_pieces_hear_of_one_another_but_in_an_mlp(self, architecture):
        hypernet, params, buffers = generator_of(architecture)
        before = hypernet.generate(params, buffers)
        params["pieces"] = params["pieces"].clone()
        params["pieces"][:, 0] *= -1
        size = hypernet.pieces.piece_size
        moved = (hypernet.generate(params, buffers) - before).abs()[..., size:].amax()
        assert (moved > 1e-6) == (architecture != "mlp")

    @pytest.mark.parametrize("architecture", OTHERS)
    @pytest.mark.parametrize("changed", [{}, {"spectral_norm": True}, {"generation": "component"}])
    def test_every_matrix_learns(self, architecture, changed):
        hypernet, params, buffers = generator_of(architecture, **changed)
        params = {name: tensor.requires_grad_() for name, tensor in params.items()}
        toward = torch.randn(hypernet.net.n_weights, generator=torch.Generator().manual_seed(1))
        (hypernet.generate(params, buffers) @ toward).sum().backward()
        for name in matrix_shapes(architecture, 4):
            assert params[name].grad.abs().amax() > 0, name


@pytest.mark.parametrize("architecture", OTHERS)
class TestModels:
    def test_learn_an_effect(self, architecture):
        X, y, arm, effects = trial(n=400)
        est = able(hypernet=architecture, pretrained="none", second_stage="none")
        error = est.fit(X, y, arm).predict(X) - effects
        assert np.sqrt(np.mean(error**2)) < 0.4 * effects.std()

    def test_are_saved_cloned_and_repeated_to_the_bit(self, architecture, tmp_path):
        X, y, arm, _ = trial(n=120, n_arms=3)
        est = tiny(hypernet=architecture).fit(X, y, arm)
        est.save(tmp_path / "model.hypercate")
        for copy in (
            HyperCATE.load(tmp_path / "model.hypercate", device="cpu"),
            clone(est).fit(X, y, arm),
        ):
            np.testing.assert_array_equal(copy.predict(X), est.predict(X))
            np.testing.assert_array_equal(copy.effect_interval(X), est.effect_interval(X))
        assert not np.array_equal(est.predict(X), tiny().fit(X, y, arm).predict(X))

    def test_read_doses_draw_and_have_two_stages(self, architecture):
        X, y, arm, _ = trial(n=120)
        dose = np.random.default_rng(0).random(120)
        few = tiny(hypernet=architecture, sharing="auto")
        assert np.isfinite(
            clone(few).set_params(treatment_kind="dose").fit(X, y, dose).predict(X)
        ).all()
        drawn = clone(few).set_params(
            learner="ra", uncertainty="both", hypernet_dropout=0.1, hypernet_noise=0.1
        )
        assert np.isfinite(drawn.fit(X, y, arm).effect_interval(X)).all()

    @pytest.mark.parametrize(
        "parameters", [{"generation": "once"}, {"generation": "none"}, {"n_chunks": 1}]
    )
    def test_of_a_single_piece_are_refused(self, architecture, parameters):
        X, y, arm, _ = trial(n=60)
        message = re.escape(f"hypernet={architecture!r} processes a sequence of pieces")
        with pytest.raises(ValueError, match=message):
            tiny(hypernet=architecture, **parameters).fit(X, y, arm)
