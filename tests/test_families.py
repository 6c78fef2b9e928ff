"""Networks in training are batched by how they generate, and are the same networks."""

import pytest
import torch
from degrees import at_degrees

from hypercate.generator.hypernetwork import PERTURBATIONS, HyperNet
from hypercate.generator.outcome_net import OutcomeNet
from hypercate.generator.perturbation import perturb
from hypercate.train.families import by_family, families_of

ADAMW = {"learning_rate": 0.01, "weight_decay": 0.01}
INF = torch.inf


def started(degrees, way="chunk", norm=False, **perturbed):
    hypernet = HyperNet(
        net=OutcomeNet(3, (6, 5), "blunt_silu"),
        n_arms=3,
        generation=way,
        n_chunks=3,
        n_heads=1,
        embedding_dim=4,
        hidden=(8,),
        spectral_norm=norm,
        **{"dropout": 0.0} | perturbed,
    )
    generator = torch.Generator().manual_seed(0)
    input_scale = torch.rand(len(degrees), 3, generator=generator)
    return hypernet, *hypernet.init(at_degrees(degrees, hypernet.net), input_scale, generator)


MIXTURES = [(1.0, 2.0), (INF,), (INF, INF), (0.0, INF), (INF, 0.0, INF, 3.0, 1.0)]


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("way", ["chunk", "component", "once", "none"])
@pytest.mark.parametrize("degrees", MIXTURES)
class TestFamilies:
    def test_have_every_network_once_and_its_weights(self, degrees, way, norm):
        hypernet, params, buffers = started(degrees, way, norm)
        families = families_of(hypernet, params, buffers, **ADAMW)
        nets = torch.cat([family.nets for family in families])
        assert sorted(nets.tolist()) == list(range(len(degrees)))
        theta = hypernet.generate(params, buffers)
        for family, of_family in by_family(families, theta[nets]):
            for tensors in (family.params, family.average):
                torch.testing.assert_close(family.weights(tensors), of_family)

    def test_carry_no_tensor_without_a_gradient(self, degrees, way, norm):
        for family in families_of(*started(degrees, way, norm), **ADAMW):
            family.weights(family.params).square().sum().backward()
            for name, param in family.params.items():
                owns = name == "own" and way != "none"  # else a network may own an intercept only
                assert param.grad.flatten(1).any(1).all() or (
                    not owns and (name != "common" or way == "none") and 0.0 in degrees
                )


def test_training_leaves_the_tensors_it_started_from():
    hypernet, params, buffers = started((1.0, INF))
    before = {name: tensor.clone() for name, tensor in params.items()}
    for family in families_of(hypernet, params, buffers, **ADAMW):
        family.weights(family.params).sum().backward()
        family.advance()
    for name, tensor in params.items():
        assert torch.equal(tensor, before[name])


def stepped(speeds, way="chunk", norm=False, n_steps=4):
    """Networks that took steps at such speeds, in one family, and what they started from."""
    hypernet, params, buffers = started((1.0,) * 4, way, norm)
    (family,) = families_of(hypernet, params, buffers, **ADAMW)
    for _ in range(n_steps):
        hypernet.advance_spectral(family.params, family.buffers)
        family.weights(family.params).square().sum().backward()
        family.advance(None if speeds is None else torch.tensor(speeds))
    return family, params


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("way", ["chunk", "component", "once", "none"])
class TestSpeed:
    def test_full_speed_is_none_given_to_the_bit(self, way, norm):
        plain, _ = stepped(None, way, norm)
        full, _ = stepped([1.0] * 4, way, norm)
        for name, tensor in plain.params.items():
            assert torch.equal(full.params[name], tensor), name
            assert torch.equal(full.average[name], plain.average[name]), name

    def test_none_leaves_a_network_where_it_was_and_the_others_in_peace(self, way, norm):
        """Also from weight decay."""
        plain, start = stepped(None, way, norm)
        family, _ = stepped([1.0, 0.0, 1.0, 0.0], way, norm)
        for name, tensor in family.params.items():
            assert torch.equal(tensor[1::2], start[name][1::2]), name
            assert torch.equal(tensor[::2], plain.params[name][::2]), name
            torch.testing.assert_close(family.average[name][1::2], start[name][1::2])
            assert (plain.params[name][1::2] != start[name][1::2]).any(), name

    def test_each_network_goes_its_own_share_of_a_step(self, way, norm):
        plain, start = stepped(None, way, norm, n_steps=1)
        family, _ = stepped([0.25, 0.5, 0.75, 1.0], way, norm, n_steps=1)
        for name, tensor in family.params.items():
            for net, share in enumerate((0.25, 0.5, 0.75, 1.0)):
                step = (plain.params[name] - start[name])[net].detach()
                moved = (tensor - start[name])[net].detach()
                torch.testing.assert_close(moved, share * step, rtol=1e-4, atol=1e-6)

    def test_gradients_are_forgotten_at_any_speed(self, way, norm):
        family, _ = stepped([0.0, 0.5, 1.0, 1.0], way, norm)
        assert family.n_steps == 4
        for tensor in family.params.values():
            assert tensor.grad is None
            assert tensor.requires_grad
            assert tensor.is_leaf


@pytest.mark.parametrize("way", ["chunk", "component", "once", "none"])
def test_keeping_some_gives_them_the_weights_that_they_had(way):
    families = families_of(*started((INF, 1.0, INF, 3.0, 0.0), way), **ADAMW)
    nets = torch.cat([family.nets for family in families])
    for family in families:
        for _ in range(3):
            family.weights(family.params).square().sum().backward()
            family.advance()
    before = {
        net: theta
        for family in families
        for net, theta in zip(family.nets.tolist(), family.weights(family.average), strict=True)
    }
    going = torch.tensor([net in (1, 2, 3) for net in nets.tolist()])
    for family, of_family in by_family(families, going):
        family.keep(of_family)
    assert sorted(net for family in families for net in family.nets.tolist()) == [1, 2, 3]
    for family in families:
        for net, theta in zip(family.nets.tolist(), family.weights(family.average), strict=True):
            torch.testing.assert_close(theta, before[net])


@pytest.mark.parametrize("kind", PERTURBATIONS)
class TestPerturbedInTraining:
    def test_each_network_has_draws_of_its_own_at_every_step(self, kind):
        (family,) = families_of(*started((1.0,) * 4, **{kind: 0.5}), **ADAMW)
        for tensor in family.params.values():
            tensor.data[:] = tensor.data[:1].clone()
        for tensor in family.buffers.values():
            tensor[:] = tensor[:1].clone()
        generator = torch.Generator().manual_seed(0)
        thetas = [family.weights(family.params, generator).detach() for _ in range(3)]
        whole = family.weights(family.params).detach()
        assert len(whole.unique(dim=0)) == 1
        assert len(torch.cat([*thetas, whole]).unique(dim=0)) > 10

    def test_a_networks_draws_do_not_depend_on_who_is_trained_beside_it(self, kind):
        """Nor on who has left."""
        hypernet, params, buffers = started((1.0, 3.0, INF, 2.0), **{kind: 0.5})
        first, second = (families_of(hypernet, params, buffers, **ADAMW)[0] for _ in range(2))
        assert first.nets.tolist() == [0, 1, 3]
        second.keep(torch.tensor([False, True, True]))
        thetas = [
            family.weights(family.params, torch.Generator().manual_seed(0))
            for family in (first, second)
        ]
        torch.testing.assert_close(thetas[1], thetas[0][1:])
        mixture = perturb(hypernet, 4, torch.Generator().manual_seed(0))
        own = {name: values[first.nets] for name, values in mixture.items()}
        torch.testing.assert_close(thetas[0], hypernet.generate(first.params, first.buffers, own))
