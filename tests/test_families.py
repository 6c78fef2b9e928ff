"""Networks in training are batched by how they generate, and are the same networks."""

from functools import partial

import pytest
import torch

from hypercate.families import by_family, families_of
from hypercate.hypernet.hypernetwork import HyperNet
from hypercate.outcome_net import OutcomeNet

pytestmark = pytest.mark.filterwarnings("error")
ADAM = partial(torch.optim.AdamW, lr=0.01, fused=True)
INF = torch.inf


def started(degrees, way="chunk", norm=False):
    hypernet = HyperNet(
        net=OutcomeNet(3, (6, 5), "blunt_silu"),
        n_arms=3,
        generation=way,
        n_chunks=3,
        n_heads=1,
        embedding_dim=4,
        hidden=(8,),
        dropout=0.0,
        spectral_norm=norm,
    )
    generator = torch.Generator().manual_seed(0)
    tensors = hypernet.init(torch.tensor(degrees), torch.rand(len(degrees), 3), generator)
    return hypernet, *tensors


MIXTURES = [(1.0, 2.0), (INF,), (INF, INF), (0.0, INF), (INF, 0.0, INF, 3.0, 1.0)]


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("way", ["chunk", "component", "once", "none"])
@pytest.mark.parametrize("degrees", MIXTURES)
class TestFamilies:
    def test_have_every_network_once_and_its_weights(self, degrees, way, norm):
        hypernet, params, buffers = started(degrees, way, norm)
        families = families_of(hypernet, params, buffers, ADAM)
        nets = torch.cat([family.nets for family in families])
        assert sorted(nets.tolist()) == list(range(len(degrees)))
        theta = hypernet.generate(params, buffers)
        for family, of_family in by_family(families, theta[nets]):
            for tensors in (family.params, family.average):
                torch.testing.assert_close(family.weights(tensors), of_family)

    def test_carry_no_tensor_without_a_gradient(self, degrees, way, norm):
        for family in families_of(*started(degrees, way, norm), ADAM):
            family.weights(family.params).square().sum().backward()
            for name, param in family.params.items():
                assert param.grad.flatten(1).any(1).all() or (
                    name not in ("own", "common") and 0.0 in degrees
                )


def test_training_leaves_the_tensors_it_started_from():
    hypernet, params, buffers = started((1.0, INF))
    before = {name: tensor.clone() for name, tensor in params.items()}
    for family in families_of(hypernet, params, buffers, ADAM):
        family.weights(family.params).sum().backward()
        family.advance()
    for name, tensor in params.items():
        assert torch.equal(tensor, before[name])
