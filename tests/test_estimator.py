"""What fit leaves on a HyperCATE, which parameters have a say, and what it prints."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from small import able, mixed_frame, tiny, trial, two_arms

from hypercate import HyperCATE
from hypercate.select import TRIED_DEGREES


@pytest.fixture(scope="module")
def two():
    return two_arms()


class TestFittedAttributes:
    def test_a_fit_sets_one_attribute(self, two):
        est, *_ = two
        assert set(vars(est)) - set(vars(clone(est))) == {"fitted_"}

    def test_of_a_frame(self):
        frame, y, arm, _ = mixed_frame(200)
        est = tiny().fit(frame, y, arm)
        assert est.arms_.tolist() == ["control", "drug", "surgery"]
        assert est.classes_ is None
        assert est.outcome_ == "continuous"
        assert est.n_features_in_ == 5
        assert est.feature_names_in_.tolist() == list(frame)
        assert est.feature_names_in_.dtype == object
        assert {"age", "age (missing)", "site=north", "grade=3"} <= set(est.encoded_names_)

    def test_of_an_array_and_after_a_frame(self, two):
        est, X, y, arm = two
        assert est.n_features_in_ == 4
        assert not hasattr(est, "feature_names_in_")
        again = clone(est).fit(pd.DataFrame(X[:, :3], columns=list("abc")), y, arm)
        assert again.feature_names_in_.tolist() == ["a", "b", "c"]
        again.fit(X, y, arm)
        assert again.n_features_in_ == 4
        assert not hasattr(again, "feature_names_in_")

    def test_every_documented_attribute_exists(self, two):
        est, *_ = two
        documented = HyperCATE.__doc__.split("Attributes\n")[1].split("References\n")[0]
        heads = [line.split(" : ")[0].strip() for line in documented.splitlines() if " : " in line]
        names = [name for head in heads for name in head.split(", ")]
        assert {"arms_", "classes_", "sharing_", "inputs_", "history_"} <= set(names)
        for name in set(names) - {"feature_names_in_", "outcomes_"}:
            assert hasattr(est, name), name

    def test_history_has_a_row_an_epoch_and_member(self):
        X, y, arm, _ = trial()
        est = tiny(n_members=3, max_epochs=7, sharing="auto").fit(X, y, arm)
        history = est.history_
        assert list(history) == ["member", "epoch", "train_loss", "validation_loss"]
        assert history["member"].tolist() == np.repeat([0, 1, 2], 7).tolist()
        assert history["epoch"].tolist() == [*range(7)] * 3
        assert np.isfinite(history).all(axis=None)
        assert history["train_loss"].iloc[6] < history["train_loss"].iloc[0]

    @pytest.mark.parametrize(
        ("n", "size"), [(60, 128), (4096, 128), (32_000, 1000), (65_536, 2048), (10**7, 2048)]
    )
    def test_minibatches_grow_with_the_data_from_128_to_2048(self, n, size):
        assert tiny()._schedule(n).batch_size == size
        assert tiny(batch_size=5000)._schedule(n).batch_size == 5000

    def test_tables_of_the_first_member_do_not_depend_on_how_many_there_are(self, two):
        est, X, y, arm = two
        alone = clone(est).set_params(n_members=1).fit(X, y, arm)
        for table in ("sharing_", "inputs_"):
            pd.testing.assert_frame_equal(getattr(alone, table), getattr(est, table).iloc[:1])
        of_first = est.history_[est.history_["member"] == 0]
        pd.testing.assert_frame_equal(alone.history_, of_first)

    def test_a_member_stops_once_its_loss_has_not_fallen_by_1_percent_for_its_patience(self):
        X, y, arm, _ = trial(n=120, noise=2)
        est = tiny(n_members=4, max_epochs=200, patience=6).fit(X, y, arm)
        for _, member in est.history_.groupby("member"):
            assert member["epoch"].tolist() == [*range(len(member))]
            assert len(member) < 200
            gained, least = 0, np.inf
            for epoch, loss in enumerate(member["validation_loss"].astype(np.float32)):
                assert epoch - gained <= 6
                if loss < np.float32(0.99) * np.float32(least):
                    gained, least = epoch, loss
            assert len(member) - 1 - gained == 6

    def test_sharing_reports_each_members_best_held_out_loss(self):
        X, y, arm, _ = trial()
        est = tiny(n_members=3, max_epochs=30, sharing="auto").fit(X, y, arm)
        degrees, ways = [*TRIED_DEGREES[:-1]], ["raw", "boosted"]
        assert list(est.sharing_) == [*degrees, "chosen"]
        assert list(est.inputs_) == [*ways, "chosen"]
        assert est.sharing_.index.tolist() == est.inputs_.index.tolist() == [0, 1, 2]
        assert est.sharing_["chosen"].tolist() == est.sharing_[degrees].idxmin(axis=1).tolist()
        assert est.inputs_["chosen"].tolist() == est.inputs_[ways].idxmin(axis=1).tolist()
        best = est.history_.groupby("member")["validation_loss"].min()
        np.testing.assert_allclose(best, est.sharing_[degrees].min(axis=1), rtol=1e-6)
        np.testing.assert_allclose(best, est.inputs_[ways].min(axis=1), rtol=1e-6)

    @pytest.mark.parametrize("sharing", ["intercept", "strong", "moderate", "weak", "independent"])
    def test_a_degree_that_is_named_is_the_only_one(self, sharing):
        X, y, arm, _ = trial()
        est = tiny(sharing=sharing).fit(X, y, arm)
        assert list(est.sharing_) == [sharing, "chosen"]
        assert est.sharing_["chosen"].tolist() == [sharing] * 2

    def test_without_a_generator_there_is_nothing_to_share(self):
        X, y, arm, _ = trial()
        est = tiny(generation="none", sharing="auto").fit(X, y, arm)
        assert list(est.sharing_) == ["none", "chosen"]

    def test_arms_that_share_all_but_the_intercept_differ_by_a_constant(self):
        X, y, arm, _ = trial(n_arms=3)
        est = tiny(sharing="intercept", max_epochs=30).fit(X, y, arm)
        np.testing.assert_allclose(est.predict(X).std(axis=0), 0, atol=1e-5)
        assert tiny(sharing="weak", max_epochs=30).fit(X, y, arm).predict(X).std() > 0.1

    def test_held_out_losses_tell_a_constant_effect_from_a_varying_one(self):
        losses = {}
        for slope in (0, 1.5):
            X, y, arm, _ = trial(n=400, slope=slope, noise=0.5)
            table = able(max_epochs=60).fit(X, y, arm).sharing_.drop(columns="chosen")
            losses[slope] = (table["intercept"] / table.min(axis=1)).mean()
        assert losses[0] < 1.5
        assert losses[1.5] > 2.2

    @pytest.mark.parametrize("n_arms", [2, 3])
    def test_parameters_are_counted_beside_the_weights_that_they_generate(self, n_arms):
        X, y, arm, _ = trial(n_arms=n_arms)
        weights = (4 * 8 + 8) + (8 * 8 + 8) + (8 + 1)
        layout = {"embedding_dim": 5, "hypernet_hidden": (6,), "inputs": "raw"}
        counts = tiny(generation="once", **layout).fit(X, y, arm).n_parameters_
        generator = n_arms * 5 + (5 * 6 + 6) + 6 * weights
        assert counts == {"trained": weights + generator, "generated": n_arms * weights}
        noisy = tiny(generation="once", hypernet_noise=0.3, **layout).fit(X, y, arm).n_parameters_
        assert noisy == counts | {"trained": counts["trained"] + 5 * 6}
        chunks = tiny(generation="chunk", n_chunks=10, **layout).fit(X, y, arm).n_parameters_
        assert chunks["generated"] == n_arms * weights
        assert chunks["trained"] < counts["trained"]
        own = {"trained": n_arms * weights, "generated": n_arms * weights}
        assert tiny(generation="none", inputs="raw").fit(X, y, arm).n_parameters_ == own
        assert tiny(sharing="independent", **layout).fit(X, y, arm).n_parameters_ == own
        either = tiny(generation="once", sharing="auto", max_epochs=20, **layout).fit(X, y, arm)
        assert (either.sharing_["chosen"] != "independent").any()
        assert either.n_parameters_ == counts
        boosted = tiny(generation="none", inputs="boosted").fit(X, y, arm).n_parameters_
        assert boosted["generated"] == n_arms * (weights + n_arms * 8)  # an input an arm

    @pytest.mark.parametrize(
        "change",
        [
            {"generation": "once"},
            {"generation": "none"},
            {"n_chunks": 3},
            {"n_heads": 2},
            {"embedding_dim": 3},
            {"hypernet_hidden": (4, 4)},
            {"hypernet_dropout": 0.3},
            {"hypernet_noise": 0.3},
            {"spectral_norm": True},
            {"sharing": "weak"},
            {"sharing": "independent"},
            {"outcome_hidden": (8,)},
            {"activation": "relu"},
            {"n_members": 3},
            {"max_epochs": 20},
            {"batch_size": 16},
            {"learning_rate": 0.01},
            {"weight_decay": 1.0},
            {"validation_fraction": 0.4},
            {"random_state": 1},
        ],
        ids=str,
    )
    def test_every_parameter_has_a_say(self, change):
        X, y, arm, _ = trial()
        assert not np.array_equal(
            tiny(**change).fit(X, y, arm).predict(X), tiny().fit(X, y, arm).predict(X)
        )


class TestVerbose:
    def test_a_bar_for_the_search_and_one_for_the_fit_on_stderr_if_asked_for(self, capfd):
        X, y, arm, _ = trial(n=60)
        tiny(verbose=True).fit(X, y, arm)
        out, err = capfd.readouterr()
        assert out == ""
        search, fit = (
            [line for line in re.split("[\r\n]", err) if bar in line][-1]
            for bar in ("HyperCATE: search", "HyperCATE: fit")
        )
        assert "3/3" in search
        assert re.search(r" [1-9]\d*/\d+ ", fit)
        assert "epoch" in search
        assert "epoch" in fit

    def test_silence_otherwise(self, capfd):
        X, y, arm, _ = trial(n=60)
        est = tiny().fit(X, y, arm)
        est.predict(X)
        est.score(X, y, arm)
        assert capfd.readouterr() == ("", "")

    def test_the_bars_change_nothing(self, capfd):
        X, y, arm, _ = trial(n=60)
        np.testing.assert_array_equal(
            tiny(verbose=True).fit(X, y, arm).predict(X), tiny().fit(X, y, arm).predict(X)
        )
