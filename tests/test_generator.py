"""The generator against slow loops, and what its parts promise."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from degrees import at_degrees
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hypercate.generator import spectral
from hypercate.generator.conditioning import unit_rms
from hypercate.generator.generation import cut
from hypercate.generator.hypernetwork import PERTURBATIONS, HyperNet
from hypercate.generator.initialization import start_scale
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.generator.perturbation import perturb
from hypercate.generator.profiles import PROFILES

quick = settings(max_examples=40, deadline=None, derandomize=True)
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
WAYS = ("once", "component", "chunk")
widths = st.lists(st.integers(1, 7), min_size=0, max_size=4).map(tuple)
nets = st.builds(OutcomeNet, st.integers(1, 7), widths, st.just("tanh"))


def hypernet(**changed):
    shape = {
        "net": OutcomeNet(2, (3, 2), "blunt_silu"),
        "n_arms": 2,
        "generation": "chunk",
        "n_chunks": 4,
        "n_heads": 1,
        "embedding_dim": 3,
        "hidden": (4,),
        "dropout": 0.0,
        "spectral_norm": False,
    }
    return HyperNet(**shape | changed)


def begun(shape, degrees, generator):
    """Tensors as they start, every input seen alike."""
    sharing = at_degrees(degrees, shape.net)
    return shape.init(sharing, torch.ones(len(degrees), shape.net.n_inputs), generator)


def drawn(shape, n=2, seed=0, degrees=None):
    """Tensors of n networks, biases included, moved away from where they start."""
    generator = torch.Generator().manual_seed(seed)
    degrees = [1.0] * n if degrees is None else degrees
    input_scale = 0.5 + torch.rand(len(degrees), shape.net.n_inputs, generator=generator)
    params, buffers = shape.init(at_degrees(degrees, shape.net), input_scale, generator)
    for tensor in params.values():
        tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    shape.advance_spectral(params, buffers, n_steps=1000)
    return params, buffers


def double(tensors, requires_grad=False):
    return {k: v.double().requires_grad_(requires_grad) for k, v in tensors.items()}


def perturbation(n):
    """A dropout mask and noise of each network, for generators of width 4."""
    generator = torch.Generator().manual_seed(3)
    masks = torch.tensor([[2.0, 0, 2, 0], [0, 0, 2, 2], [2, 2, 0, 0]])
    return {"dropout": masks[:n], "noise": torch.randn(n, 3, generator=generator)}


def slow_weights(shape, params, buffers, draw=None):
    """theta[k] = scale * common + departure * emitted(arm k), or what arm k owns, one by one."""

    def matrix(name, i, head=()):
        weight = params[name][i][head]
        return weight / torch.linalg.matrix_norm(weight, 2) if shape.spectral_norm else weight

    def loud(embedding):
        return embedding / embedding.square().mean().sqrt()

    draw = draw or {}

    def emit(i, arm, piece):
        hidden = loud(params["arms"][i, arm]) @ matrix("arm_matrix", i) + params["bias0"][i]
        if "noise" in draw:
            hidden = hidden + shape.noise * (draw["noise"][i] @ matrix("noise_matrix", i))
        if piece is not None:
            hidden = hidden + loud(params["pieces"][i, piece]) @ matrix("piece_matrix", i)
        hidden = torch.tanh(hidden)
        for depth in range(1, len(shape.hidden)):
            hidden = torch.tanh(hidden @ matrix(f"matrix{depth}", i) + params[f"bias{depth}"][i])
        if "dropout" in draw:
            hidden = hidden * draw["dropout"][i]
        values = []
        share = shape.hidden[-1] // shape.n_heads
        for head in range(shape.n_heads):
            weight = matrix("heads", i, head)
            out = hidden[head * share : (head + 1) * share] @ weight
            if shape.spectral_norm:  # as large as a random matrix with entries 1 / sqrt(share)
                out = out * (1 + np.sqrt(weight.shape[1] / share))
            values.extend(out)
        return values

    def emitted(i, arm):
        """The values that the weights read, in order."""
        if shape.generation == "once":
            return emit(i, arm, None)[: shape.net.n_weights]
        if shape.generation == "component":
            pieces = [emit(i, arm, p) for p in range(len(shape.net.layers))]
            sizes = [layer.n_in * layer.n_out + layer.n_out for layer in shape.net.layers]
            return [v for values, size in zip(pieces, sizes, strict=True) for v in values[:size]]
        size = int(np.ceil(shape.net.n_weights / shape.n_chunks))
        chunks = (emit(i, arm, c) for c in itertools.count())
        flat = itertools.chain.from_iterable(itertools.islice(c, size) for c in chunks)
        return list(itertools.islice(flat, shape.net.n_weights))

    theta = []
    for i in range(len(next(iter(params.values())))):
        for arm in range(shape.n_arms):
            if "apart" in buffers and buffers["apart"][i].any():
                own = params["own"][i, arm] * buffers["apart"][i]
                if "common" in params and shape.generation == "none":
                    own = own + params["common"][i] * buffers["scale"][i]
                theta.extend(own)
                continue
            values = emitted(i, arm)
            for w in range(shape.net.n_weights):
                theta.append(
                    buffers["scale"][i, w] * params["common"][i, w]
                    + buffers["departure"][i, w] * values[w]
                )
    return torch.stack(theta).view(-1, shape.n_arms, shape.net.n_weights)


EVERY_WAY = [
    pytest.param(
        way, heads, hidden, norm, perturbed, id=f"{way}-{heads}-{len(hidden)}-{norm}-{perturbed}"
    )
    for way in WAYS
    for heads in (1, 4)
    for hidden in ((4,), (3, 4))
    for norm in (False, True)
    for perturbed in (False, True)
] + [pytest.param("none", 1, (4,), False, False, id="none")]


@pytest.mark.parametrize(("way", "heads", "hidden", "norm", "perturbed"), EVERY_WAY)
class TestAgainstASlowLoop:
    @pytest.mark.parametrize("device", DEVICES)
    def test_weights_and_gradients_agree(self, way, heads, hidden, norm, perturbed, device):
        shape = hypernet(
            generation=way, n_heads=heads, hidden=hidden, spectral_norm=norm, noise=0.7 * perturbed
        )
        params, buffers = drawn(shape)
        draw = double(perturbation(2)) if perturbed else {}
        slow_params = double(params, requires_grad=True)
        slow = slow_weights(shape, slow_params, double(buffers), draw)
        toward = torch.randn(slow.shape, generator=torch.Generator().manual_seed(1)).double()
        (slow * toward).sum().backward()

        fast_params = {k: v.detach().to(device).requires_grad_() for k, v in double(params).items()}
        fast = shape.generate(
            fast_params,
            {k: v.to(device) for k, v in double(buffers).items()},
            {k: v.to(device) for k, v in draw.items()},
        )
        (fast * toward.to(device)).sum().backward()
        tolerance = {"rtol": 1e-5, "atol": 1e-6} if norm else {"rtol": 1e-10, "atol": 1e-12}
        torch.testing.assert_close(fast.cpu(), slow, **tolerance)
        for name, param in fast_params.items():
            assert param.grad.abs().max() > 0, name
            torch.testing.assert_close(
                param.grad.cpu(),
                slow_params[name].grad,
                **tolerance,
                msg=lambda m, name=name: f"gradient of {name}: {m}",
            )

    def test_gradcheck_of_generator_and_network(self, way, heads, hidden, norm, perturbed):
        net = OutcomeNet(1, (2,), "blunt_silu")
        shape = hypernet(
            net=net,
            n_arms=2,
            generation=way,
            n_chunks=2,
            n_heads=heads,
            embedding_dim=2,
            hidden=hidden,
            spectral_norm=norm,
            noise=0.7 * perturbed,
        )
        params, buffers = drawn(shape, n=1)
        draw = {"dropout": torch.tensor([[2.0, 0, 2, 2]]), "noise": torch.tensor([[0.8, -0.3]])}
        draw = double(draw) if perturbed else None
        x = torch.randn(2, 1, 1, generator=torch.Generator().manual_seed(2)).double()
        names = list(params)

        def outcomes(*tensors):
            theta = shape.generate(dict(zip(names, tensors, strict=True)), double(buffers), draw)
            return net(theta.flatten(0, 1), x)

        assert torch.autograd.gradcheck(outcomes, [*double(params, True).values()], fast_mode=True)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_slow_loop_agrees_where_some_networks_have_arms_that_share_nothing(way, norm):
    shape = hypernet(generation=way, n_heads=4, hidden=(3, 4), spectral_norm=norm, noise=0.7)
    params, buffers = drawn(shape, degrees=[1.0, np.inf, 3.0])
    draw = double(perturbation(3))
    fast_params, slow_params = (double(params, requires_grad=True) for _ in range(2))
    fast = shape.generate(fast_params, double(buffers), draw)
    slow = slow_weights(shape, slow_params, double(buffers), draw)
    toward = torch.randn(slow.shape, generator=torch.Generator().manual_seed(1)).double()
    (fast * toward).sum().backward()
    (slow * toward).sum().backward()
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if norm else {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(fast, slow, **tolerance)
    for name, param in fast_params.items():
        torch.testing.assert_close(param.grad, slow_params[name].grad, **tolerance)
        learns = param.grad.flatten(1).abs().amax(1) > 0
        assert learns.tolist() == [name != "own", name == "own", name != "own"], name


class TestPieces:
    @quick
    @given(nets, st.sampled_from(WAYS), st.integers(1, 40))
    def test_each_weight_reads_one_emitted_value_in_order(self, net, way, n_chunks):
        pieces = cut(net, way, n_chunks)
        assert pieces.n_weights == net.n_weights
        places = torch.arange(pieces.n_pieces * pieces.piece_size)
        read = pieces.assemble(places)
        assert read.shape == (net.n_weights,)
        assert (read.diff() > 0).all()
        two = pieces.assemble(torch.stack([places, places + 1000])[:, None])
        torch.testing.assert_close(two, torch.stack([read, read + 1000])[:, None])

    @quick
    @given(nets, st.integers(1, 40))
    def test_padding_is_never_read_and_less_than_a_piece(self, net, n_chunks):
        for way in WAYS:
            pieces = cut(net, way, n_chunks)
            emitted = torch.full((pieces.n_pieces, pieces.piece_size), torch.nan)
            if way == "component":
                assert pieces.n_pieces == len(net.layers)
                for row, layer in zip(emitted, net.layers, strict=True):
                    row[: layer.n_in * layer.n_out + layer.n_out] = 1
            elif way == "chunk":
                assert pieces.n_pieces <= n_chunks
                emitted.view(-1)[: net.n_weights] = 1
                assert torch.isfinite(emitted[-1]).any()
            else:
                assert emitted.shape == (1, net.n_weights)
                emitted[:] = 1
            assert (pieces.assemble(emitted.flatten()) == 1).all()

    def test_a_component_is_a_layer(self):
        net = OutcomeNet(3, (4, 2), "tanh")
        pieces = cut(net, "component", 8)
        piece = torch.arange(pieces.n_pieces).repeat_interleave(pieces.piece_size)
        sizes = torch.tensor([3 * 4 + 4, 4 * 2 + 2, 2 + 1])
        assert pieces.assemble(piece).tolist() == torch.arange(3).repeat_interleave(sizes).tolist()

    def test_chunks_are_equal_but_the_last(self):
        pieces = cut(OutcomeNet(3, (4, 2), "tanh"), "chunk", 4)  # 29 weights
        piece = torch.arange(pieces.n_pieces).repeat_interleave(pieces.piece_size)
        assert torch.bincount(pieces.assemble(piece)).tolist() == [8, 8, 8, 5]

    def test_more_chunks_than_weights_is_a_weight_a_chunk(self):
        pieces = cut(OutcomeNet(1, (1,), "tanh"), "chunk", 100)
        assert (pieces.n_pieces, pieces.piece_size) == (4, 1)

    @pytest.mark.parametrize("way", ["none", "layerwise"])
    def test_other_ways_have_no_pieces(self, way):
        with pytest.raises(ValueError, match=f"'{way}'.*chunk"):
            cut(OutcomeNet(3, (4,), "tanh"), way, 8)


class TestGeneratorOutputs:
    @quick
    @given(nets, st.sampled_from(WAYS), st.integers(1, 9), st.sampled_from([1, 2, 4]), st.data())
    def test_a_column_of_a_head_reaches_only_its_weight_of_each_piece(
        self, net, way, n_chunks, heads, data
    ):
        shape = hypernet(net=net, n_arms=2, generation=way, n_chunks=n_chunks, n_heads=heads)
        params, buffers = drawn(shape, n=1)
        before = shape.generate(params, buffers)
        segment = params["heads"].shape[-1]
        head = data.draw(st.integers(0, heads - 1))
        column = data.draw(st.integers(0, segment - 1))
        params["heads"][:, head, :, column] += 100
        changed = (shape.generate(params, buffers) != before)[0]

        if way == "component":
            sizes = [layer.n_in * layer.n_out + layer.n_out for layer in net.layers]
        elif way == "chunk":
            size = -(-net.n_weights // n_chunks)
            sizes = [min(size, net.n_weights - i) for i in range(0, net.n_weights, size)]
        else:
            sizes = [net.n_weights]
        place = np.concatenate([np.arange(size) for size in sizes])
        expected = torch.tensor(place == head * segment + column)
        assert (changed == expected).all()

    @pytest.mark.parametrize("way", WAYS)
    def test_what_no_weight_reads_may_be_anything(self, way):
        shape = hypernet(net=OutcomeNet(2, (5,), "tanh"), generation=way, n_heads=4)
        params, buffers = drawn(shape)
        theta = shape.generate(params, buffers)
        unread = 4 * params["heads"].shape[-1] - shape.pieces.piece_size
        assert unread > 0
        params["heads"][:, -1, :, -unread:] = torch.nan
        torch.testing.assert_close(shape.generate(params, buffers), theta)

    @pytest.mark.parametrize("way", [*WAYS, "none"])
    def test_every_bias_of_every_layer_is_generated_on_its_own(self, way):
        shape = hypernet(generation=way, n_arms=2)
        theta = shape.generate(*drawn(shape, n=1))[0]
        for arm in theta:
            biases = torch.cat([arm[layer.bias_start : layer.stop] for layer in shape.net.layers])
            assert len(biases.unique()) == len(biases) == 3 + 2 + 1

    @pytest.mark.parametrize("way", [*WAYS, "none"])
    def test_networks_do_not_mix(self, way):
        shape = hypernet(generation=way, spectral_norm=True, n_heads=2, hidden=(5, 4))
        params, buffers = drawn(shape, n=3)
        together = shape.generate(params, buffers)
        for i in range(3):
            alone = shape.generate(
                {k: v[i : i + 1] for k, v in params.items()},
                {k: v[i : i + 1] for k, v in buffers.items()},
            )
            torch.testing.assert_close(alone[0], together[i])

    @pytest.mark.parametrize("way", WAYS)
    def test_arms_in_another_order_give_the_same_networks_in_that_order(self, way):
        shape = hypernet(generation=way, n_arms=3)
        params, buffers = drawn(shape)
        theta = shape.generate(params, buffers)
        params["arms"] = params["arms"][:, [2, 0, 1]]
        torch.testing.assert_close(shape.generate(params, buffers), theta[:, [2, 0, 1]])

    @pytest.mark.parametrize("way", WAYS)
    def test_the_length_of_an_embedding_means_nothing(self, way):
        shape = hypernet(generation=way, n_arms=3)
        params, buffers = drawn(shape)
        theta = shape.generate(params, buffers)
        params["arms"] = params["arms"] * torch.tensor([0.1, 1, 50])[:, None]
        if way != "once":
            params["pieces"] = params["pieces"] * 7
        torch.testing.assert_close(shape.generate(params, buffers), theta, rtol=1e-4, atol=1e-5)

    def test_without_a_generator_an_arm_owns_its_weights(self):
        shape = hypernet(generation="none", n_arms=3)
        params, buffers = drawn(shape)
        assert set(params) == {"own"}
        assert set(buffers) == {"apart"}
        theta = shape.generate(params, buffers)
        params["own"][:, 1] += 1
        changed = shape.generate(params, buffers) != theta
        assert changed[:, 1].all()
        assert not changed[:, [0, 2]].any()


class TestIndependentArms:
    """Networks whose arms own their weights, beside others in the same tensors."""

    mixed = (0.0, np.inf, 1.0)

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("norm", [False, True])
    def test_arms_have_nothing_in_common(self, way, norm):
        shape = hypernet(generation=way, n_arms=3, spectral_norm=norm)
        params, buffers = drawn(shape, degrees=self.mixed)
        theta = shape.generate(params, buffers)
        for name in set(params) - {"own"}:
            params[name] += 1
        moved = shape.generate(params, buffers) != theta
        assert moved[[0, 2]].any()
        assert not moved[1].any()
        theta = shape.generate(params, buffers)
        params["own"][:, 1] += 1
        moved = shape.generate(params, buffers) != theta
        assert moved[1, 1].all()
        assert moved.sum() == shape.net.n_weights

    @pytest.mark.parametrize("way", WAYS)
    def test_arms_in_another_order_give_the_same_networks_in_that_order(self, way):
        shape = hypernet(generation=way, n_arms=3)
        params, buffers = drawn(shape, degrees=self.mixed)
        theta = shape.generate(params, buffers)
        for name in ("arms", "own"):
            params[name] = params[name][:, [2, 0, 1]]
        torch.testing.assert_close(shape.generate(params, buffers), theta[:, [2, 0, 1]])

    @pytest.mark.parametrize("way", WAYS)
    def test_weights_are_those_of_networks_without_a_generator(self, way):
        params, buffers = drawn(hypernet(generation=way), degrees=[np.inf] * 2)
        alone = hypernet(generation="none")
        own = {"own": params["own"]}, {"apart": buffers["apart"]}
        assert torch.equal(hypernet(generation=way).generate(params, buffers), alone.generate(*own))
        plain = begun(alone, [1.0] * 2, torch.Generator().manual_seed(0))[1]["apart"]
        independent = begun(
            hypernet(generation=way), [np.inf] * 2, torch.Generator().manual_seed(0)
        )[1]["apart"]
        assert torch.equal(plain, independent)

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("kind", PERTURBATIONS)
    def test_no_perturbation_reaches_them(self, way, kind):
        shape = hypernet(generation=way, noise=0.7)
        params, buffers = drawn(shape, degrees=self.mixed)
        draw = {kind: perturbation(3)[kind]}
        perturbed, whole = shape.generate(params, buffers, draw), shape.generate(params, buffers)
        assert torch.equal(perturbed[1], whole[1])
        assert not torch.equal(perturbed[0], whole[0])
        assert not torch.equal(perturbed[2], whole[2])

    @pytest.mark.parametrize("way", WAYS)
    def test_nets_that_share_generate_as_they_do_without_such_beside_them(self, way):
        shape = hypernet(generation=way)
        params, buffers = drawn(shape, degrees=self.mixed)
        sharing = {k: v[[0, 2]] for k, v in params.items() if k != "own"}
        its_buffers = {k: v[[0, 2]] for k, v in buffers.items() if k != "apart"}
        assert torch.equal(
            shape.generate(sharing, its_buffers), shape.generate(params, buffers)[[0, 2]]
        )

    @pytest.mark.parametrize("norm", [False, True])
    @pytest.mark.parametrize("noise", [0.0, 0.7])
    @pytest.mark.parametrize("way", WAYS)
    def test_nets_that_share_start_as_they_do_without_such_beside_them(self, way, noise, norm):
        shape = hypernet(generation=way, noise=noise, spectral_norm=norm)
        mixed, alike = (
            begun(shape, degrees, torch.Generator().manual_seed(0))
            for degrees in (self.mixed, (0.0, 1.0, 1.0))
        )
        assert mixed[0].keys() - alike[0].keys() == {"own"}
        assert mixed[1].keys() - alike[1].keys() == {"apart"}
        for beside, without in zip(mixed, alike, strict=True):
            for name, tensor in without.items():
                assert torch.equal(beside[name][[0, 2]], tensor[[0, 2]]), name


class TestPerturbations:
    @pytest.mark.parametrize("device", DEVICES)
    def test_masks_drop_the_rate_and_keep_the_mean(self, device):
        shape = hypernet(hidden=(8, 50), dropout=0.2)
        masks = perturb(shape, 400, torch.Generator(device).manual_seed(0))["dropout"]
        assert masks.shape == (400, 50)
        assert masks.device.type == device
        assert (masks == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
        torch.testing.assert_close(masks[masks > 0].unique().cpu(), torch.tensor([1.25]))
        assert len(masks.unique(dim=0)) > 390

    @pytest.mark.parametrize("device", DEVICES)
    def test_noise_is_standard_normal_whatever_its_size_in_the_generator(self, device):
        shape = hypernet(embedding_dim=50, noise=0.2)
        noise = perturb(shape, 400, torch.Generator(device).manual_seed(0))["noise"]
        assert noise.shape == (400, 50)
        assert noise.device.type == device
        assert stats.kstest(noise.flatten().cpu().numpy(), stats.norm.cdf).pvalue > 0.01
        correlation = torch.corrcoef(noise).fill_diagonal_(0)
        assert correlation.abs().max() < 0.8

    @pytest.mark.parametrize("dropout", [0.0, 0.5])
    @pytest.mark.parametrize("noise", [0.0, 0.5])
    @pytest.mark.parametrize("way", [*WAYS, "none"])
    def test_only_what_is_on_is_drawn_and_nothing_without_a_generator(self, way, noise, dropout):
        shape = hypernet(generation=way, dropout=dropout, noise=noise)
        generator = torch.Generator().manual_seed(0)
        on = {"dropout": dropout, "noise": noise}
        expected = [name for name in PERTURBATIONS if on[name] and way != "none"]
        assert list(perturb(shape, 4, generator)) == expected
        still = torch.Generator().manual_seed(0).get_state()
        assert torch.equal(generator.get_state(), still) == (expected == [])

    def test_draws_reproduce_by_seed(self):
        shape = hypernet(hidden=(50,), dropout=0.5, noise=1.0)
        first, again, other = (
            perturb(shape, 4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
        )
        for kind in PERTURBATIONS:
            assert torch.equal(first[kind], again[kind])
            assert not torch.equal(first[kind], other[kind])

    def test_masks_are_the_same_with_noise_beside_them(self):
        alone, beside = (
            perturb(hypernet(dropout=0.5, noise=noise), 9, torch.Generator().manual_seed(0))[
                "dropout"
            ]
            for noise in (0.0, 1.0)
        )
        assert torch.equal(alone, beside)

    @pytest.mark.parametrize("way", WAYS)
    def test_all_ones_is_no_mask_and_all_zeros_leaves_what_is_common(self, way):
        shape = hypernet(generation=way, n_heads=2)
        params, buffers = drawn(shape)
        whole = shape.generate(params, buffers)
        assert torch.equal(shape.generate(params, buffers, {"dropout": torch.ones(2, 4)}), whole)
        masked = shape.generate(params, buffers, {"dropout": torch.zeros(2, 4)})
        common = buffers["scale"] * params["common"]
        assert torch.equal(masked, common[:, None].expand_as(masked))

    @pytest.mark.parametrize("way", WAYS)
    def test_noise_of_0_is_none_and_more_moves_the_weights_of_every_piece_and_arm(self, way):
        shape = hypernet(generation=way, noise=0.7)
        params, buffers = drawn(shape)
        whole = shape.generate(params, buffers)
        assert torch.equal(shape.generate(params, buffers, {"noise": torch.zeros(2, 3)}), whole)
        noise = torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 0.5]])
        moved = shape.generate(params, buffers, {"noise": noise}) != whole
        assert not moved[0].any()
        assert moved[1].float().mean() > 0.9

    @pytest.mark.parametrize("way", WAYS)
    def test_its_size_is_a_factor_of_the_noise(self, way):
        params, buffers = drawn(hypernet(generation=way, noise=1.0))
        noise = perturbation(2)["noise"]
        torch.testing.assert_close(
            hypernet(generation=way, noise=0.25).generate(params, buffers, {"noise": noise}),
            hypernet(generation=way, noise=1.0).generate(params, buffers, {"noise": noise / 4}),
        )

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("degree", [1.0, np.inf])
    def test_with_noise_a_generator_starts_as_without_but_for_a_matrix(self, way, degree):
        degrees = [1.0, degree]
        plain, noisy = (
            begun(hypernet(generation=way, noise=noise), degrees, torch.Generator().manual_seed(0))
            for noise in (0.0, 0.7)
        )
        for params, _ in (plain, noisy):
            params.pop("own", None)  # no generator's
        matrix = noisy[0].pop("noise_matrix")
        assert matrix.shape == noisy[0]["arm_matrix"].shape
        for before, after in zip(plain, noisy, strict=True):
            assert before.keys() == after.keys()
            assert all(torch.equal(before[name], after[name]) for name in before)

    def test_noise_of_size_1_starts_as_loud_as_the_arms(self):
        shape = hypernet(embedding_dim=8, hidden=(16,), noise=1.0)
        params, buffers = begun(shape, [1.0] * 400, torch.Generator().manual_seed(0))
        noise = perturb(shape, 400, torch.Generator().manual_seed(1))["noise"]
        by_noise = noise[:, None] @ shape.matrix(params, buffers, "noise_matrix")
        by_arm = unit_rms(params["arms"]) @ shape.matrix(params, buffers, "arm_matrix")
        assert (by_noise.std() / by_arm.std()).item() == pytest.approx(1, rel=0.05)


class TestSpectralNorm:
    @quick
    @given(
        st.lists(st.integers(1, 3), max_size=2),
        st.integers(1, 12),
        st.integers(1, 12),
        st.integers(0, 2**31),
        st.floats(1e-3, 1e3),
    )
    def test_stacked_matrices_get_norm_1_each(self, lead, rows, columns, seed, scale):
        generator = torch.Generator().manual_seed(seed)
        weight = scale * torch.randn(*lead, rows, columns, generator=generator)
        u = spectral.power_iteration(weight, torch.randn(*lead, rows, generator=generator), 500)
        normal = spectral.normalize(weight, u)
        largest = np.linalg.norm(normal.double().numpy(), 2, axis=(-2, -1))
        assert (largest >= 1 - 1e-5).all()
        assert (largest <= 1 + 5e-3).all()
        ratio = weight / normal
        torch.testing.assert_close(ratio, ratio[..., :1, :1].expand_as(ratio), rtol=1e-4, atol=0)

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("heads", [1, 4])
    @pytest.mark.parametrize("device", DEVICES)
    def test_every_matrix_of_a_generator_has_norm_1_from_the_start(self, way, heads, device):
        shape = hypernet(
            generation=way, n_heads=heads, hidden=(16, 32, 16), spectral_norm=True, noise=0.3
        )
        params, buffers = begun(shape, [1.0] * 5, torch.Generator().manual_seed(0))
        matrices = {name for name, tensor in params.items() if tensor.ndim >= 3}
        matrices -= {"arms", "pieces"}
        assert matrices >= {"arm_matrix", "matrix1", "matrix2", "heads", "noise_matrix"}
        assert ("piece_matrix" in matrices) == (way != "once")
        params = {k: v.to(device) for k, v in params.items()}
        buffers = {k: v.to(device) for k, v in buffers.items()}
        for n_steps, tolerance in ((0, 0.25), (100, 0.03), (1000, 2e-3)):
            shape.advance_spectral(params, buffers, n_steps)
            for name in matrices:
                used = shape.matrix(params, buffers, name).double().cpu().numpy()
                largest = np.linalg.norm(used, 2, axis=(-2, -1))
                assert largest.shape == params[name].shape[:-2]
                assert (largest >= 1 - 1e-5).all(), name
                assert (largest <= 1 + tolerance).all(), name

    def test_one_iteration_a_step_follows_weights_that_move(self):
        shape = hypernet(hidden=(16, 16), spectral_norm=True, noise=0.3)
        params, buffers = begun(shape, [1.0] * 3, torch.Generator().manual_seed(0))
        generator = torch.Generator().manual_seed(1)
        for _ in range(200):
            for tensor in params.values():
                tensor += 0.005 * torch.randn(tensor.shape, generator=generator)
            shape.advance_spectral(params, buffers)
        for name in ("arm_matrix", "piece_matrix", "noise_matrix", "matrix1", "heads"):
            used = shape.matrix(params, buffers, name).double().numpy()
            assert np.linalg.norm(used, 2, axis=(-2, -1)).max() < 1.05, name

    def test_gradient_is_that_of_division_by_the_largest_singular_value(self):
        weight = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)).double()
        toward = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1)).double()
        u = spectral.power_iteration(weight, torch.ones(3, 4).double(), 2000)
        fast, exact = weight.clone().requires_grad_(), weight.clone().requires_grad_()
        (spectral.normalize(fast, u) * toward).sum().backward()
        norm = torch.linalg.matrix_norm(exact, 2, keepdim=True)
        (exact / norm * toward).sum().backward()
        torch.testing.assert_close(fast.grad, exact.grad)

    def test_a_member_is_divided_by_its_own_norm(self):
        shape = hypernet(spectral_norm=True, noise=0.3)
        params, buffers = drawn(shape, n=3)
        draw = perturbation(3)
        theta = shape.generate(params, buffers, draw)
        for name in ("arm_matrix", "piece_matrix", "noise_matrix", "heads"):
            params[name][1] *= 100
        again = shape.generate(params, buffers, draw)
        torch.testing.assert_close(again, theta, rtol=1e-4, atol=1e-6)

    def test_generating_moves_no_state(self):
        shape = hypernet(spectral_norm=True, hidden=(5, 4))
        params, buffers = begun(shape, [1.0] * 2, torch.Generator().manual_seed(0))
        before = pickle.dumps((params, buffers))
        first = shape.generate(params, buffers)
        assert torch.equal(shape.generate(params, buffers), first)
        assert pickle.dumps((params, buffers)) == before
        shape.advance_spectral(params, buffers)
        assert pickle.dumps((params, buffers)) != before

    def test_state_survives_pickle(self):
        shape = hypernet(spectral_norm=True, hidden=(5, 4), noise=0.3)
        params, buffers = begun(shape, [1.0] * 2, torch.Generator().manual_seed(0))
        copy, its_params, its_buffers = pickle.loads(pickle.dumps((shape, params, buffers)))
        assert copy == shape
        for _ in range(2):
            assert torch.equal(
                copy.generate(its_params, its_buffers), shape.generate(params, buffers)
            )
            copy.advance_spectral(its_params, its_buffers)
            shape.advance_spectral(params, buffers)

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("heads", [1, 4])
    def test_arms_depart_about_as_far_as_without_it(self, way, heads):
        sizes = {}
        for norm in (False, True):
            shape = hypernet(
                net=OutcomeNet(10, (32, 32), "tanh"),
                n_arms=20,
                generation=way,
                n_heads=heads,
                embedding_dim=8,
                hidden=(16,),
                spectral_norm=norm,
            )
            params, buffers = begun(shape, [1.0] * 20, torch.Generator().manual_seed(0))
            theta = shape.generate(params, buffers)
            sizes[norm] = (theta - theta.mean(1, keepdim=True)).square().mean().sqrt().item()
        assert 0.5 < sizes[True] / sizes[False] < 1.2


class TestConditioning:
    @quick
    @given(st.integers(1, 20), st.integers(0, 2**31), st.floats(1e-4, 1e4))
    def test_embeddings_have_root_mean_square_1_and_keep_their_direction(self, size, seed, scale):
        raw = scale * torch.randn(3, 2, size, generator=torch.Generator().manual_seed(seed))
        loud = unit_rms(raw)
        torch.testing.assert_close(loud.square().mean(-1), torch.ones(3, 2))
        ratio = (raw / loud).double()
        torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio), rtol=1e-4, atol=0)
        assert (ratio > 0).all()

    def test_an_embedding_of_zeros_gives_no_nan(self):
        zeros = torch.zeros(2, 3, requires_grad=True)
        unit_rms(zeros).sum().backward()
        assert torch.isfinite(unit_rms(zeros)).all()
        assert torch.isfinite(zeros.grad).all()


def in_units(net, theta):
    """Root mean square of each layer's values in units of 1 / sqrt(fan_in), last bias apart."""
    return [
        theta[..., layer.start : layer.stop - (layer == net.layers[-1])].square().mean().sqrt()
        * layer.n_in**0.5
        for layer in net.layers
    ]


class TestInitialization:
    net = OutcomeNet(10, (40, 20, 30, 40), "tanh")

    @quick
    @given(nets)
    def test_start_scale_is_a_third_of_the_usual_one_and_biases_are_0(self, net):
        scale = start_scale(net)
        assert scale.shape == (net.n_weights,)
        for layer in net.layers:
            weights = scale[layer.start : layer.bias_start] * layer.n_in**0.5
            torch.testing.assert_close(weights, torch.full_like(weights, 0.3))
            assert not scale[layer.bias_start : layer.stop].any()

    @pytest.mark.parametrize("degree", [0.0, np.inf])
    @pytest.mark.parametrize("way", [*WAYS, "none"])
    def test_weights_start_small_in_every_layer(self, way, degree):
        shape = hypernet(net=self.net, generation=way, hidden=(16,))
        params, buffers = begun(shape, [degree] * 30, torch.Generator().manual_seed(0))
        theta = shape.generate(params, buffers)[:, 0]
        for layer in self.net.layers:
            weights = theta[:, layer.start : layer.bias_start] * layer.n_in**0.5
            assert weights.std().item() == pytest.approx(0.3, rel=0.05)
            assert weights.mean().item() == pytest.approx(0, abs=0.03)
        assert len(theta.unique(dim=0)) == 30

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("norm", [False, True])
    def test_arms_nearly_agree_at_first_and_part_more_in_later_layers(self, way, norm):
        shape = hypernet(net=self.net, n_arms=4, generation=way, hidden=(16,), spectral_norm=norm)
        params, buffers = begun(shape, [1.0] * 30, torch.Generator().manual_seed(0))
        theta = shape.generate(params, buffers)
        apart = in_units(self.net, theta - theta.mean(1, keepdim=True))
        together = in_units(self.net, theta.mean(1))
        assert apart[0] < 0.2 * together[0]
        assert (torch.stack(apart).diff() > 0).all()
        assert apart[-1] > 10 * apart[0]

    @pytest.mark.parametrize("degree", [1.0, np.inf])
    @pytest.mark.parametrize("way", [*WAYS, "none"])
    def test_an_inputs_factor_is_as_if_the_input_were_multiplied(self, way, degree):
        shape = hypernet(net=self.net, generation=way)
        factor = torch.tensor([0.0, 0.5, 2.0]).repeat(4)[:10]
        alike, scaled = (
            shape.generate(
                *shape.init(
                    at_degrees([degree], self.net), scale[None], torch.Generator().manual_seed(0)
                )
            )
            for scale in (torch.ones(10), factor)
        )
        x = torch.randn(50, 10, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(
            self.net(scaled.flatten(0, 1), x), self.net(alike.flatten(0, 1), x * factor)
        )
        hidden = torch.where(factor == 0, 1e6, x)
        assert torch.equal(
            self.net(scaled.flatten(0, 1), hidden),
            self.net(scaled.flatten(0, 1), torch.where(factor == 0, 0, x)),
        )

    @pytest.mark.parametrize("way", WAYS)
    def test_at_degree_0_arms_differ_by_a_constant(self, way):
        shape = hypernet(net=self.net, generation=way, n_arms=3)
        params, buffers = drawn(shape, degrees=[0.0, 1.0])
        theta = shape.generate(params, buffers)
        assert torch.equal(theta[0, :, :-1], theta[0, :1, :-1].expand(3, -1))
        assert len(theta[0, :, -1].unique()) == 3
        x = torch.randn(50, 10, generator=torch.Generator().manual_seed(1))
        tau = [self.net(t, x)[1:] - self.net(t, x)[:1] for t in theta]
        torch.testing.assert_close(tau[0], tau[0][:, :1].expand(-1, 50), rtol=1e-4, atol=1e-5)
        assert tau[1].std(1).min() > 0.01

    @pytest.mark.parametrize("way", [*WAYS, "none"])
    def test_the_intercept_is_free(self, way):
        """A step in what makes the intercepts moves them several times as far as a usual weight."""
        shape = hypernet(net=self.net, generation=way)
        _, buffers = begun(shape, [1.0, np.inf], torch.Generator().manual_seed(0))
        departure = buffers.get("departure", 0) + buffers["apart"]
        assert (departure[:, -1:] >= 3 * departure[:, :-1]).all()

    @pytest.mark.parametrize("way", [*WAYS, "none"])
    @pytest.mark.parametrize("norm", [False, True])
    def test_a_seed_gives_the_same_start_and_global_state_is_left_alone(self, way, norm):
        shape = hypernet(generation=way, spectral_norm=norm)
        state = torch.get_rng_state()
        first, again, other = (
            begun(shape, [1.0] * 2, torch.Generator().manual_seed(s)) for s in (1, 1, 2)
        )
        assert torch.equal(torch.get_rng_state(), state)
        for name, tensor in first[0].items():
            assert torch.equal(tensor, again[0][name])
            if "bias" not in name:
                assert not torch.equal(tensor, other[0][name])
        torch.set_default_dtype(torch.float64)
        try:
            doubled = begun(shape, [1.0] * 2, torch.Generator().manual_seed(1))
        finally:
            torch.set_default_dtype(torch.float32)
        for mine, theirs in zip(first, doubled, strict=True):
            for name, tensor in mine.items():
                assert theirs[name].dtype == torch.float32, name
                assert torch.equal(tensor, theirs[name]), name


class TestPlainNetworksThatShare:
    """Without a generator, arms own what may depart and share the rest."""

    @pytest.mark.parametrize("name", ["s", "tarnet", "intercept"])
    def test_arms_differ_where_the_profile_lets_them(self, name):
        shape = hypernet(generation="none", n_arms=3)
        profile = PROFILES[name](len(shape.net.layers))
        scale = torch.ones(2, shape.net.n_inputs)
        params, buffers = shape.init([profile] * 2, scale, torch.Generator().manual_seed(0))
        params = {key: tensor + 1 for key, tensor in params.items()}  # biases start at 0
        params["own"] += torch.arange(3)[:, None]
        theta = shape.generate(params, buffers)
        differ = (theta != theta[:, :1]).any(1).all(0)
        assert torch.equal(differ, profile.departure(shape.net) > 0)
        assert torch.equal(theta[:, 0, ~differ], params["common"][:, ~differ])

    @pytest.mark.parametrize("device", DEVICES)
    def test_weights_and_gradients_agree_with_a_slow_loop(self, device):
        shape = hypernet(generation="none", n_arms=3)
        profile = PROFILES["tarnet"](len(shape.net.layers))
        scale = 0.5 + torch.rand(2, shape.net.n_inputs, generator=torch.Generator().manual_seed(1))
        params, buffers = shape.init([profile] * 2, scale, torch.Generator().manual_seed(0))
        slow_params = double(params, requires_grad=True)
        slow = slow_weights(shape, slow_params, double(buffers))
        toward = torch.randn(slow.shape, generator=torch.Generator().manual_seed(2)).double()
        (slow * toward).sum().backward()
        fast_params = {k: v.detach().to(device).requires_grad_() for k, v in double(params).items()}
        fast = shape.generate(fast_params, {k: v.to(device) for k, v in double(buffers).items()})
        (fast * toward.to(device)).sum().backward()
        torch.testing.assert_close(fast.cpu(), slow)
        for name, param in fast_params.items():
            torch.testing.assert_close(param.grad.cpu(), slow_params[name].grad)
