"""A look inside the generator: what it says of arms, layers, the way between arms, and of size."""

import contextlib
import io
import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from small import able, tiny, trial

from hypercate import HyperCATE, inspection
from hypercate.inspection import (
    ArmSimilarity,
    along_step,
    arm_similarity,
    compression,
    layer_departures,
    plot_arm_similarity,
    plot_layer_departures,
)

LABELS = np.array(["b", "c", "a", "d", "e"])
PAGE = (Path(__file__).parents[1] / "docs/how-it-works.md").read_text()
ALONE = {"pretrained": "none", "second_stage": "none"}
MODELS = {
    "two arms": {"n_arms": 2},
    "many arms": {"n_arms": 5},
    "binary": {"binary": True},
    **{learner: {"learner": learner, "sharing": "auto"} for learner in ("s", "tarnet")},
    **{learner: {"learner": learner} for learner in ("x", "ra", "dr", "r")},
    **{way: {"generation": way} for way in ("component", "once", "none")},
    "none tarnet": {"generation": "none", "learner": "tarnet", "sharing": "auto"},
    "auto": {"sharing": "auto"},
    "intercept": {"sharing": "intercept"},
    "independent": {"sharing": "independent"},
    "perturbed": {"hypernet_dropout": 0.1, "hypernet_noise": 0.3, "spectral_norm": True},
    "heads": {"n_heads": 4},
    "described": {"described": True},
    "fast": {"effort": "fast"},
}
APART = ("none", "none tarnet", "independent")


@cache
def fitted(n_arms=3, binary=False, described=False, **parameters):
    """A tiny fit, whose control is not the first label in sorted order, and its rows."""
    X, y, arm, _ = trial(n=240, n_arms=n_arms)
    y = (y > np.median(y)).astype(int) if binary else y
    options = {}
    if described:
        arm = arm % 3
        options["arm_features"] = pd.DataFrame({"dose": [1.0, 2, 0, 4]}, index=LABELS[:4])
    est = tiny(control="b", device="cpu", **{"n_members": 3, **parameters})
    return est.fit(X, y, LABELS[arm], **options), X


def with_generator(est, params=None, buffers=None):
    """A copy of a fitted model whose arms' generator has some other tensors."""
    first, *others = est.fitted_.generators
    first = replace(
        first, params=first.params | (params or {}), buffers=first.buffers | (buffers or {})
    )
    copy = HyperCATE(device="cpu")
    copy.fitted_ = replace(est.fitted_, generators=(first, *others))
    return copy


def one_apart(est):
    """A copy whose first member's arms share nothing."""
    scale = est.fitted_.generators[0].buffers["scale"].copy()
    scale[0] = 0
    return with_generator(est, buffers={"scale": scale})


def looks(est, X):
    """Every table that is there to be had."""
    similarity = arm_similarity(est, X)
    tables = [similarity.embedding, similarity.function, layer_departures(est), compression(est)]
    with contextlib.suppress(ValueError):
        tables.append(along_step(est, X, *est.arms_[-2:], n_steps=3))
    return tables


class TestEveryModel:
    @pytest.mark.parametrize("name", MODELS)
    def test_has_tables_of_its_arms_in_their_order(self, name):
        est, X = fitted(**MODELS[name])
        embedding, function, departures, sizes, *way = looks(est, X)
        arms = est.arms_.tolist()
        assert arms[0] == "b"
        for table in (embedding, function):
            assert table.index.tolist() == table.columns.tolist() == arms
        assert departures.index.tolist() == arms
        assert departures.columns.tolist() == [1, 2, 3]
        assert np.isfinite(departures.to_numpy()).all()
        assert (departures.to_numpy() >= 0).all()
        np.testing.assert_array_equal(function, function.T)
        assert (np.diag(function) == 0).all()
        assert np.isfinite(function.to_numpy()).all()
        assert len(sizes) == 1 + (est.learner in ("x", "ra", "dr", "r"))
        if name in APART:
            assert embedding.isna().all(axis=None)
            assert not way
        else:
            np.testing.assert_array_equal(embedding, embedding.T)
            np.testing.assert_allclose(np.diag(embedding), 1, rtol=1e-6)
            assert embedding.abs().max(axis=None) <= 1
            assert np.isfinite(way[0].to_numpy()).all()

    @pytest.mark.parametrize("name", MODELS)
    def test_has_sizes_that_sum_to_its_numbers_of_parameters(self, name):
        est, _ = fitted(**MODELS[name])
        sizes = compression(est)
        parts = ["common", "embeddings", "matrices", "heads", "own"]
        assert sizes[["trained", "generated"]].sum().to_dict() == est.n_parameters_
        np.testing.assert_array_equal(sizes[parts].sum(axis=1), sizes["trained"])
        np.testing.assert_allclose(sizes["ratio"], sizes["generated"] / sizes["trained"])

    @pytest.mark.parametrize("name", ["many arms", "auto", "x", "none", "perturbed", "described"])
    def test_says_the_same_after_it_was_saved_without_evidence(self, name, tmp_path):
        est, X = fitted(**MODELS[name])
        est.save(tmp_path / "model", evidence=False)
        loaded = HyperCATE.load(tmp_path / "model", device="cpu")
        for found, expected in zip(looks(loaded, X), looks(est, X), strict=True):
            pd.testing.assert_frame_equal(found, expected, check_exact=True)

    def test_that_is_looked_at_predicts_as_before(self):
        est, X = fitted(n_arms=5)
        before = est.predict_outcomes(X)
        looks(est, X)
        np.testing.assert_array_equal(est.predict_outcomes(X), before)


class TestNoModel:
    @pytest.mark.parametrize(
        "look",
        [
            lambda est, X: arm_similarity(est, X),
            lambda est, X: layer_departures(est),
            lambda est, X: along_step(est, X, "b", "c"),
            lambda est, X: compression(est),
        ],
    )
    def test_is_refused_before_a_fit(self, look):
        with pytest.raises(NotFittedError, match="not fitted"):
            look(tiny(), np.zeros((5, 4)))

    def test_has_a_generator_without_training(self):
        X, y, arm, _ = trial(n=200)
        est = HyperCATE(effort="instant", random_state=0, device="cpu").fit(X, y, LABELS[arm])
        for look in (
            lambda: layer_departures(est),
            lambda: along_step(est, X, "b", "c"),
            lambda: compression(est),
        ):
            with pytest.raises(ValueError, match='effort="instant", which trains nothing'):
                look()
        similarity = arm_similarity(est, X)
        assert similarity.embedding.isna().all(axis=None)
        assert similarity.function.loc["b", "c"] > 0.1


class TestArmSimilarity:
    def test_of_functions_is_that_of_the_prediction_with_all_that_counts(self):
        est, X = fitted(sharing="auto")
        assert est.weights_["trained"].max() < 1
        outcomes = est.predict_outcomes(X)
        centred = outcomes - outcomes.mean(axis=0)
        expected = np.sqrt(np.mean((centred[:, 0] - centred[:, 2]) ** 2) / centred.var())
        function = arm_similarity(est, X).function
        assert function.loc["b", "c"] == pytest.approx(expected, rel=1e-10)

    def test_of_functions_is_nearer_for_arms_of_the_same_effect(self):
        rng = np.random.default_rng(0)
        X, arm = rng.normal(size=(600, 3)), rng.integers(4, size=600)
        effect = np.column_stack([0 * X[:, 0], 1 + 2 * X[:, 1], 3 + 2 * X[:, 1], -2 * X[:, 2]])
        y = X[:, 0] + effect[np.arange(600), arm] + 0.3 * rng.normal(size=600)
        est = able(sharing="weak", max_epochs=60, device="cpu").fit(X, y, arm)
        function = arm_similarity(est, X).function
        assert function.loc[1, 2] < 0.2
        others = function.drop(index=[1, 2])[[1, 2]]
        assert others.min(axis=None) > 3 * function.loc[1, 2]

    def test_of_functions_is_none_where_arms_differ_by_a_constant(self):
        est, X = fitted(sharing="intercept")
        assert np.abs(est.ate(X)).min() > 0.05
        similarity = arm_similarity(est, X)
        np.testing.assert_allclose(similarity.function, 0, atol=1e-5)
        assert similarity.embedding.loc["b", "c"] < 0.99

    def test_of_functions_that_are_all_constant_is_none(self):
        est, X = fitted()
        same = np.repeat(X[:1], 5, axis=0)
        np.testing.assert_array_equal(arm_similarity(est, same).function, np.zeros((3, 3)))

    def test_of_embeddings_is_the_mean_cosine_of_the_members(self):
        est, X = fitted(n_arms=5)
        place = est.fitted_.conditions.place
        arms = est.fitted_.generators[0].params["arms"][:3, place].astype(float)
        arms /= np.linalg.norm(arms, axis=2, keepdims=True)
        expected = np.mean([own @ own.T for own in arms], axis=0)
        np.testing.assert_allclose(arm_similarity(est, X).embedding, expected, atol=1e-6)

    def test_of_embeddings_leaves_out_members_whose_arms_share_nothing(self):
        est, X = fitted(sharing="auto")
        alone = [
            arm_similarity(with_members(est, [m]), X).embedding.loc["b", "c"] for m in range(3)
        ]
        without = arm_similarity(one_apart(est), X).embedding.loc["b", "c"]
        assert without == pytest.approx(np.mean(alone[1:]), abs=1e-6)
        assert without != pytest.approx(np.mean(alone), abs=1e-3)

    def test_of_described_arms_is_that_of_their_descriptions(self):
        est, X = fitted(described=True)
        embedding = arm_similarity(est, X).embedding
        assert est.arms_.tolist() == ["b", "a", "c", "d"]
        assert embedding.loc["b", "a"] > embedding.loc["b", "d"]
        assert embedding.loc["a", "d"] == embedding.min(axis=None)

    def test_is_printed_as_both_tables(self):
        est, X = fitted()
        similarity = arm_similarity(est, X)
        text = str(similarity)
        assert repr(similarity) == text
        assert f"{similarity.function.loc['b', 'c']:.2f}" in text
        assert f"{similarity.embedding.loc['b', 'c']:.2f}" in text
        assert similarity._repr_html_().count("<table") == 2

    def test_needs_two_rows_that_the_model_can_read(self):
        est, X = fitted()
        with pytest.raises(ValueError, match="X has 1 rows"):
            arm_similarity(est, X[:1])
        with pytest.raises(ValueError, match="features"):
            arm_similarity(est, X[:, :2])


def with_members(est, members):
    """A copy with some of the members' generators."""
    first = est.fitted_.generators[0]
    copy = with_generator(
        est,
        {name: array[members] for name, array in first.params.items()},
        {name: array[members] for name, array in first.buffers.items()},
    )
    networks = replace(est.fitted_.networks, n_members=len(members))
    copy.fitted_ = replace(copy.fitted_, networks=networks)
    return copy


class TestLayerDepartures:
    @pytest.mark.parametrize("name", ["auto", "none", "independent", "perturbed"])
    def test_are_those_of_the_weights_that_predict(self, name):
        est, _ = fitted(**MODELS[name] | ALONE)
        networks = est.fitted_.networks
        theta = networks.theta[:3].astype(float)
        mean = theta.mean(axis=1, keepdims=True)
        departures = layer_departures(est)
        for number, layer in enumerate(networks.net.layers, start=1):
            own = slice(layer.start, layer.stop)
            size = np.linalg.norm((theta - mean)[..., own], axis=2)
            expected = (size / np.linalg.norm(mean[..., own], axis=2)).mean(axis=0)
            np.testing.assert_allclose(departures[number], expected, rtol=1e-4)

    @pytest.mark.parametrize(
        ("parameters", "apart"),
        [
            ({"sharing": "intercept"}, [3]),
            ({"learner": "s", "sharing": "auto"}, [1]),
            ({"learner": "tarnet", "sharing": "auto"}, [2, 3]),
            ({"learner": "tarnet", "sharing": "auto", "generation": "none"}, [2, 3]),
            ({}, [1, 2, 3]),
        ],
    )
    def test_are_0_in_layers_that_arms_share(self, parameters, apart):
        est, _ = fitted(**parameters)
        departures = layer_departures(est)
        assert (departures[apart] > 1e-3).all(axis=None)
        assert (departures.drop(columns=apart) < 1e-6).all(axis=None)

    def test_are_larger_where_arms_share_less(self):
        strong, weak = (layer_departures(fitted(sharing=s)[0]) for s in ("strong", "weak"))
        assert (weak > 10 * strong)[[1, 2]].all(axis=None)
        independent = layer_departures(fitted(sharing="independent")[0])
        assert (independent > 0.8).all(axis=None)

    def test_are_0_where_no_input_is_seen(self):
        est, _ = fitted()
        first = est.fitted_.generators[0].hypernet.net.layers[0]
        buffers = {}
        for name in ("scale", "departure"):
            buffers[name] = est.fitted_.generators[0].buffers[name].copy()
            buffers[name][:, : first.stop] = 0
        departures = layer_departures(with_generator(est, buffers=buffers))
        assert (departures[1] == 0).all()
        pd.testing.assert_frame_equal(
            departures.drop(columns=1), layer_departures(est).drop(columns=1)
        )


class TestAlongStep:
    @pytest.mark.parametrize(
        "name", ["two arms", "many arms", "binary", "tarnet", "s", "component", "once", "heads",
                 "perturbed", "described", "fast", "intercept"]
    )  # fmt: skip
    def test_ends_at_the_outcomes_of_both_arms(self, name):
        est, X = fitted(**MODELS[name] | ALONE)
        start, *_, end = est.arms_.tolist()
        way = along_step(est, X, start, end)
        outcomes = est.predict_outcomes(X).mean(axis=0)
        np.testing.assert_allclose(way["step"], np.linspace(0, 1, 11))
        assert way["outcome"].iloc[0] == pytest.approx(outcomes[0], abs=1e-5)
        assert way["outcome"].iloc[-1] == pytest.approx(outcomes[-1], abs=1e-5)

    @pytest.mark.parametrize("learner", ["t", "dr"])
    def test_knows_the_arms_networks_alone(self, learner):
        est, X = fitted(learner=learner, sharing="auto", max_epochs=4)
        way = along_step(est, X, "b", "c", n_steps=2)
        by_member = along_step_by_member(est, X, "b", "c")
        np.testing.assert_allclose(way["outcome"], by_member.mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(way["sd"], by_member.std(axis=0, ddof=1), rtol=1e-4)
        predicted = est.predict_outcomes(X).mean(axis=0)
        assert abs(way["outcome"] - predicted[[0, 2]]).max() > 1e-3

    def test_is_the_same_way_from_both_ends(self):
        est, X = fitted(n_arms=5)
        there, back = along_step(est, X, "a", "d", 5), along_step(est, X, "d", "a", 5)
        for column in ("outcome", "sd"):
            np.testing.assert_allclose(there[column], back[column][::-1], rtol=1e-4)
        assert there["outcome"].nunique() == 5

    def test_passes_through_the_network_of_the_embedding_between(self):
        est, X = fitted(n_arms=5)
        place = est.fitted_.conditions.place[[1, 2]]
        arms = est.fitted_.generators[0].params["arms"].copy()
        own = arms[:, place] / np.linalg.norm(arms[:, place], axis=2, keepdims=True)
        arms[:, place[1]] = own.sum(axis=1)
        between = along_step(with_generator(est, {"arms": arms}), X, "a", "c", 2)
        way = along_step(est, X, "a", "c", 3)
        assert way["outcome"].iloc[1] == pytest.approx(between["outcome"].iloc[1], abs=1e-5)

    def test_leaves_out_members_whose_arms_share_nothing(self):
        est, X = fitted(sharing="auto")
        by_member = along_step_by_member(est, X, "b", "c")
        way = along_step(one_apart(est), X, "b", "c", 2)
        np.testing.assert_allclose(way["outcome"], by_member[1:].mean(axis=0), rtol=1e-4)

    def test_has_no_spread_of_a_single_member(self):
        est, X = fitted(n_members=1)
        way = along_step(est, X, "b", "c")
        assert way["sd"].isna().all()
        assert way["outcome"].notna().all()

    @pytest.mark.parametrize("name", APART)
    def test_is_refused_where_no_arms_share_a_generator(self, name):
        est, X = fitted(**MODELS[name])
        with pytest.raises(ValueError, match="no member's arms share a generator"):
            along_step(est, X, "b", "c")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("b", "z"), "T1 'z' is not an arm"),
            (("z", "b"), "T0 'z' is not an arm"),
            (("b", "b"), "the same arm, 'b'"),
            (("b", "c", 1), "n_steps=1 must be"),
            (("b", "c", 2.5), "n_steps=2.5 must be"),
            (("b", "c", True), "n_steps=True must be"),
        ],
    )
    def test_refuses_what_is_no_way(self, arguments, message):
        est, X = fitted()
        with pytest.raises(ValueError, match=re.escape(message)):
            along_step(est, X, *arguments)


def along_step_by_member(est, X, T0, T1):
    """Mean outcomes at both ends by each member, from the weights that its generator gives."""
    first, networks = est.fitted_.generators[0], est.fitted_.networks
    params, buffers = (
        {name: torch.tensor(array) for name, array in part.items()}
        for part in (first.params, first.buffers)
    )
    theta = first.hypernet.generate(params, buffers).numpy()[:, est.fitted_.conditions.place]
    alone = replace(
        networks,
        net=first.hypernet.net,
        theta=theta,
        model=np.arange(len(theta)),
        stages=(),
        effects=None,
    )
    outcomes = alone.by_model(est.fitted_.features.transform(X), torch.device("cpu"))
    ends = [est.arms_.tolist().index(label) for label in (T0, T1)]
    return outcomes.mean(axis=1)[: networks.n_members, ends]


class TestCompression:
    def test_counts_the_parts_of_the_layout(self):
        layout = {"embedding_dim": 5, "hypernet_hidden": (6,), "inputs": "raw"}
        sizes = compression(fitted(generation="once", **layout)[0]).loc["outcomes"]
        weights = (4 * 8 + 8) + (8 * 8 + 8) + (8 + 1)
        assert sizes[:-1].to_dict() == {
            "common": weights,
            "embeddings": 3 * 5,
            "matrices": 5 * 6 + 6,
            "heads": 6 * weights,
            "own": 0,
            "trained": weights + 3 * 5 + 5 * 6 + 6 + 6 * weights,
            "generated": 3 * weights,
        }

    def test_counts_embeddings_of_pieces_and_maps_of_descriptions(self):
        n_pieces = 8
        sizes = compression(fitted()[0]).loc["outcomes"]
        described = compression(fitted(described=True)[0]).loc["outcomes"]
        assert sizes["embeddings"] == (3 + n_pieces) * 8
        assert described["embeddings"] == (4 + n_pieces) * 8
        assert described["matrices"] - sizes["matrices"] == 2 * 8

    def test_of_independent_arms_is_one_parameter_a_weight(self):
        for name in ("none", "independent"):
            sizes = compression(fitted(**MODELS[name])[0])
            assert sizes["own"].tolist() == sizes["generated"].tolist()
            assert (sizes["ratio"] == 1).all()

    def test_gains_with_every_arm(self):
        few, many = (compression(fitted(n_arms=n, inputs="raw")[0]) for n in (2, 5))
        assert many["ratio"].item() > 2 * few["ratio"].item()

    def test_has_a_row_for_networks_of_effects(self):
        sizes = compression(fitted(learner="ra")[0])
        assert sizes.index.tolist() == ["outcomes", "effects"]
        assert sizes["generated"].to_list()[1] == sizes["generated"].to_list()[0] * 2 / 3


class TestPlots:
    @pytest.fixture(autouse=True)
    def figures(self):
        matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib")
        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        return plt

    def similarity(self, n):
        labels = [f"arm {k}" for k in range(n)]
        rng = np.random.default_rng(0)
        embedding = np.corrcoef(rng.normal(size=(n, 5)))
        frames = (
            pd.DataFrame(values, index=labels, columns=labels)
            for values in (embedding, np.sqrt(2 - 2 * embedding.clip(-1, 1)))
        )
        return ArmSimilarity(*frames)

    @pytest.mark.parametrize("space", ["function", "embedding"])
    def test_of_similarity_shows_every_value_with_its_arms(self, space):
        similarity = self.similarity(4)
        ax = plot_arm_similarity(similarity, space=space)
        table = getattr(similarity, space)
        np.testing.assert_array_equal(ax.images[0].get_array(), table)
        written = [float(text.get_text()) for text in ax.texts]
        np.testing.assert_allclose(written, table.to_numpy().ravel(), atol=0.00501)
        for axis in (ax.xaxis, ax.yaxis):
            assert [text.get_text() for text in axis.get_ticklabels()] == table.index.tolist()

    @pytest.mark.parametrize(("n", "named"), [(30, True), (60, False)])
    def test_of_similarity_of_many_arms_leaves_out_what_could_not_be_read(self, n, named):
        ax = plot_arm_similarity(self.similarity(n))
        assert not ax.texts
        assert (ax.get_xlabel() == "arm") == named
        ax.figure.draw_without_rendering()
        assert (ax.figure.get_size_inches() < 12).all()

    def test_of_similarity_without_embeddings_is_refused(self):
        similarity = arm_similarity(*fitted(sharing="independent"))
        plot_arm_similarity(similarity)
        with pytest.raises(ValueError, match="share an embedding"):
            plot_arm_similarity(similarity, space="embedding")

    def test_of_anything_else_is_refused(self):
        with pytest.raises(TypeError, match="similarity is a DataFrame"):
            plot_arm_similarity(pd.DataFrame())
        with pytest.raises(ValueError, match="space='weights' must be"):
            plot_arm_similarity(self.similarity(3), space="weights")
        with pytest.raises(TypeError, match="departures is a HyperCATE"):
            plot_layer_departures(fitted()[0])
        with pytest.raises(ValueError, match="departures is empty"):
            plot_layer_departures(pd.DataFrame())

    def test_of_departures_has_a_line_for_every_arm(self):
        departures = layer_departures(fitted(n_arms=5)[0])
        ax = plot_layer_departures(departures)
        for line, (name, own) in zip(ax.lines, departures.iterrows(), strict=True):
            assert line.get_label() == name
            np.testing.assert_array_equal(line.get_ydata(), own)
        assert [
            text.get_text() for text in ax.get_legend().get_texts()
        ] == departures.index.tolist()
        assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "3\n(output)"]

    def test_of_departures_of_many_arms_names_their_mean(self):
        departures = pd.DataFrame(np.random.default_rng(0).random((30, 4)))
        ax = plot_layer_departures(departures)
        np.testing.assert_allclose(ax.lines[-1].get_ydata(), departures.mean())
        (only,) = ax.get_legend().get_texts()
        assert only.get_text() == "mean of 30 arms"

    def test_draws_on_the_axes_given(self, figures):
        _, axes = figures.subplots(1, 2)
        assert plot_arm_similarity(self.similarity(3), ax=axes[0]) is axes[0]
        assert plot_layer_departures(layer_departures(fitted()[0]), ax=axes[1]) is axes[1]

    def test_without_matplotlib_names_the_extra(self, monkeypatch):
        departures = layer_departures(fitted()[0])
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        for draw in (
            lambda: plot_arm_similarity(self.similarity(3)),
            lambda: plot_layer_departures(departures),
        ):
            with pytest.raises(ImportError, match=r'pip install "hypercate\[plots\]"'):
                draw()


class TestPage:
    def test_prints_what_it_shows(self):
        section = PAGE[PAGE.index("## A look inside") :]
        section = section[: section.index("\n## ", 1)]
        (code,) = re.findall(r"^```python\n(.*?)^```$", section, re.S | re.M)
        (shown,) = re.findall(r"^```text\n(.*?)^```$", section, re.S | re.M)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "how-it-works.md", "exec"), {})
        lines = printed.getvalue().splitlines()
        for expected, line in zip(shown.splitlines(), lines, strict=True):
            for left, right in zip(expected.split(), line.split(), strict=True):
                try:
                    assert float(right) == pytest.approx(float(left), abs=0.15)
                except ValueError:
                    assert left == right

    def test_names_every_public_function(self):
        """Of the generator, and of effects on a page of their own."""
        section = PAGE[PAGE.index("## A look inside") :]
        section += (Path(__file__).parents[1] / "docs" / "explaining.md").read_text()
        functions = set(inspection.__all__) - {"ArmSimilarity", "EffectDependence"}
        assert [name for name in functions if name not in section] == []
