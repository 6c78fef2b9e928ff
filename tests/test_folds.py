"""Who sees which rows: folds part them honestly, whatever the data, and nothing else does."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import hypercate
from hypercate.folds import ONE_IN, Folds

quick = settings(max_examples=100, deadline=None, derandomize=True)
n_parts, n_models = st.integers(2, 8), st.integers(1, 12)
seeds = st.integers(0, 2**31 - 1)


@st.composite
def conditions(draw):
    """Arms of the rows, in any order: 2 to 5 arms of 2 rows or more."""
    counts = draw(st.lists(st.integers(2, 30), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(seeds))
    return rng.permutation(np.repeat(np.arange(len(counts)), counts))


@st.composite
def clustered(draw, most_arms=3):
    """Arms and clusters of the rows: clusters of 1 to 60 rows, arms in two clusters or more."""
    n_arms = draw(st.integers(2, 5))
    one = st.integers(0, n_arms - 1)
    firsts = [*range(n_arms)] * 2 + draw(st.lists(one, max_size=12))
    held = [[*{first, *draw(st.lists(one, max_size=most_arms - 1))}] for first in firsts]
    size = st.one_of(st.integers(1, 4), st.integers(1, 60))
    sizes = draw(st.lists(size, min_size=len(held), max_size=len(held)))
    rng = np.random.default_rng(draw(seeds))
    rows = [
        np.append(own, rng.choice(own, max(0, n - len(own))))
        for own, n in zip(held, sizes, strict=True)
    ]
    code = rng.permutation(len(held))
    order = rng.permutation(sum(map(len, rows)))
    return np.concatenate(rows)[order], np.repeat(code, list(map(len, rows)))[order]


@st.composite
def any_folds(draw):
    """Folds of rows that are independent, or of clusters of one arm or of several."""
    kind = draw(st.sampled_from(["rows", "clusters of one arm", "clusters"]))
    if kind == "rows":
        condition, cluster = draw(conditions()), None
    else:
        condition, cluster = draw(clustered(1 if kind == "clusters of one arm" else 3))
    try:
        return Folds.of(condition, draw(n_parts), draw(n_models), draw(seeds), cluster)
    except ValueError:  # no split has every arm in two parts
        assert kind == "clusters"
        reject()


def counts_by_arm_and_part(folds, partition):
    table = np.zeros((folds.n_conditions, folds.n_parts), dtype=int)
    np.add.at(table, (folds.condition, folds.part[partition]), 1)
    return table


class TestParts:
    @quick
    @given(any_folds())
    def test_every_row_is_in_one_part_and_no_part_is_empty(self, folds):
        assert folds.part.shape == (-(-folds.n_models // folds.n_parts), len(folds.condition))
        for part in folds.part:
            assert np.unique(part).tolist() == list(range(folds.n_parts))

    @quick
    @given(conditions(), n_parts, n_models, seeds)
    def test_each_part_holds_its_share_of_the_rows_and_of_every_arm_up_to_one_row(
        self, condition, n_parts, n_models, seed
    ):
        folds = Folds.of(condition, n_parts, n_models, seed)
        for partition in range(len(folds.part)):
            table = counts_by_arm_and_part(folds, partition)
            assert (np.ptp(table, axis=1) <= 1).all()
            assert np.ptp(table.sum(axis=0)) <= 1

    @quick
    @given(any_folds())
    def test_every_arm_is_in_two_parts(self, folds):
        for partition in range(len(folds.part)):
            held = counts_by_arm_and_part(folds, partition) > 0
            assert (held.sum(axis=1) >= 2).all()

    @quick
    @given(conditions(), n_parts, n_models, seeds)
    def test_there_are_as_many_parts_as_asked_for_and_at_least_a_model_each(
        self, condition, n_parts, n_models, seed
    ):
        folds = Folds.of(condition, n_parts, n_models, seed)
        assert folds.n_parts == min(n_parts, len(condition))
        assert folds.n_models == max(n_models, folds.n_parts)

    def test_few_clusters_are_few_parts(self):
        cluster = np.repeat([0, 1, 2], 20)
        folds = Folds.of(np.arange(60) % 2, 5, 7, 0, cluster)
        assert (folds.n_parts, folds.n_models) == (3, 7)

    def test_further_models_have_another_partition(self):
        condition = np.arange(60) % 2
        folds = Folds.of(condition, 5, 15, 0)
        assert folds.partition.tolist() == [0] * 5 + [1] * 5 + [2] * 5
        for one, other in ((0, 1), (0, 2), (1, 2)):
            pairs = np.unique(folds.part[[one, other]], axis=1)
            assert pairs.shape[1] > 15  # 5 were they the same parts, whatever their numbers

    def test_the_seed_decides(self):
        condition = np.arange(60) % 3
        folds, again, other = (Folds.of(condition, 5, 10, seed) for seed in (7, 7, 8))
        for name in ("part", "stops", "rank"):
            np.testing.assert_array_equal(getattr(folds, name), getattr(again, name))
            assert (getattr(folds, name) != getattr(other, name)).any()

    def test_rows_of_an_arm_are_treated_alike(self):
        condition = np.array([0] * 6 + [1] * 7)
        draws = [Folds.of(condition, 3, 3, seed) for seed in range(600)]
        part = np.array([folds.part[0] for folds in draws])
        stops = np.mean([folds.stops.mean(axis=0) for folds in draws], axis=0)
        for arm in (0, 1):
            rows = np.flatnonzero(condition == arm)
            own = part[:, rows]
            together = np.mean(own[:, :, None] == own[:, None], axis=0)
            apart = together[~np.eye(len(rows), dtype=bool)]
            assert np.ptp(apart) < 0.1
            in_first = np.mean(own == 0, axis=0)
            assert np.ptp(in_first) < 0.1
            assert np.ptp(stops[rows]) < 0.06


class TestModels:
    @quick
    @given(any_folds())
    def test_every_row_is_judged(self, folds):
        model, row = folds.judged
        assert set(row) == set(range(len(folds.condition)))
        assert len(set(zip(model, row, strict=True))) == len(row)
        assert (folds.part[folds.partition[model], row] == model % folds.n_parts).all()
        np.testing.assert_array_equal(np.bincount(model), folds.judges.sum(axis=1))
        first = np.bincount(row[model < folds.n_parts])
        assert (first == 1).all()

    @quick
    @given(any_folds())
    def test_rows_that_fit_stop_and_judge_a_model_are_disjoint_and_together_all(self, folds):
        n = len(folds.condition)
        for m in range(folds.n_models):
            fit, stop, train, judge = (
                rows_of(getattr(folds, name), m) for name in ("fit", "stop", "train", "judge")
            )
            assert sorted([*train, *judge]) == list(range(n))
            if folds.stops[m].any():
                assert sorted([*fit, *stop]) == train
            else:
                assert fit == stop == train

    @quick
    @given(any_folds())
    def test_every_arm_is_in_the_rows_that_fit_a_model(self, folds):
        for m in range(folds.n_models):
            fitted = folds.condition[rows_of(folds.fit, m)]
            assert set(fitted) == set(range(folds.n_conditions))

    @quick
    @given(any_folds())
    def test_clusters_are_whole(self, folds):
        for splits in (folds.part, folds.stops, folds.judges):
            for split in splits:
                pairs = np.unique(np.stack([folds.cluster, split]), axis=1)
                assert pairs.shape[1] == folds.cluster.max() + 1

    @quick
    @given(conditions(), n_parts, n_models, seeds)
    def test_a_quarter_of_the_other_rows_stop_a_model(self, condition, n_parts, n_models, seed):
        folds = Folds.of(condition, n_parts, n_models, seed)
        for m in range(folds.n_models):
            train = np.bincount(condition[~folds.judges[m]])
            stop = np.bincount(condition[folds.stops[m]], minlength=len(train))
            assert stop.sum() == np.ceil((train - 1).sum() / ONE_IN)
            assert (np.abs(stop - (train - 1) / ONE_IN) <= 1).all()

    @pytest.mark.parametrize("n_models", [1, 4, 5, 9])
    @pytest.mark.parametrize("n_parts", [2, 3, 5])
    def test_two_rows_an_arm_are_enough(self, n_parts, n_models):
        for condition in ([0, 1, 0, 1], [0, 0, 1, 1], [1, 0, 0, 1]):
            folds = Folds.of(np.array(condition), n_parts, n_models, 0)
            for m in range(folds.n_models):
                assert set(np.array(condition)[rows_of(folds.fit, m)]) == {0, 1}
                assert rows_of(folds.judge, m)
                assert folds.stops[m].any() == (len(rows_of(folds.train, m)) > 2)

    def test_random_order_ranks_the_rows_of_each_arm(self):
        condition = np.arange(50) % 3
        rank = Folds.of(condition, 5, 5, 0).rank
        for arm in range(3):
            own = rank[condition == arm]
            assert sorted(own) == list(range(len(own)))
            assert own.tolist() != sorted(own)

    @quick
    @given(any_folds(), st.integers(1, 20), seeds)
    def test_a_sample_takes_the_first_rows_of_each_arm_in_random_order(self, folds, most, seed):
        n = len(folds.condition)
        rows = np.flatnonzero(np.random.default_rng(seed).random(n) < 0.7)
        sample = folds.sample(rows, most)
        assert sample.tolist() == sorted(set(sample) & set(rows))
        for arm in range(folds.n_conditions):
            own = rows[folds.condition[rows] == arm]
            first = own[np.argsort(folds.rank[own])][:most]
            assert sorted(first) == sample[folds.condition[sample] == arm].tolist()

    @quick
    @given(any_folds(), st.integers(1, 20), seeds)
    def test_sampled_rows_weigh_as_much_as_those_of_their_arm(self, folds, most, seed):
        rng = np.random.default_rng(seed)
        n = len(folds.condition)
        rows, weight = np.flatnonzero(rng.random(n) < 0.7), rng.exponential(size=n)
        sampled, standing = folds.standing(rows, most, weight)
        assert sampled.tolist() == folds.sample(rows, most).tolist()
        for arm in range(folds.n_conditions):
            own = folds.condition[sampled] == arm
            total = weight[rows[folds.condition[rows] == arm]].sum()
            assert standing[own].sum() == pytest.approx(total)
            ratio = standing[own] / weight[sampled][own]
            assert np.allclose(ratio, ratio[:1])


class TestClusters:
    @quick
    @given(st.lists(st.integers(4, 20), min_size=2, max_size=4), n_parts, st.integers(1, 30), seeds)
    def test_clusters_of_one_size_are_dealt_like_rows(self, clusters, n_parts, size, seed):
        condition = np.repeat(np.arange(len(clusters)), np.array(clusters) * size)
        folds = Folds.of(condition, n_parts, 1, seed, np.arange(len(condition)) // size)
        assert (np.ptp(counts_by_arm_and_part(folds, 0), axis=1) <= size).all()

    @quick
    @given(clustered(1), n_parts, seeds)
    def test_each_part_holds_its_share_of_the_clusters_of_every_arm_and_size(
        self, rows, n_parts, seed
    ):
        condition, cluster = rows
        folds = Folds.of(condition, n_parts, 1, seed, cluster)
        first = np.unique(cluster, return_index=True)[1]
        arm, part = condition[first], folds.part[0][first]
        size = np.log2(np.bincount(cluster)).astype(int)
        for kinds in (arm, 100 * arm + size):
            for kind in set(kinds):
                assert np.ptp(np.bincount(part[kinds == kind], minlength=folds.n_parts)) <= 1

    def test_one_large_cluster_among_many_small_ones_is_held_out_by_one_model(self):
        cluster = np.append(np.zeros(500, dtype=int), np.arange(1, 101))
        condition = np.append(np.arange(500) % 2, np.arange(100) % 2)
        folds = Folds.of(condition, 5, 5, 0, cluster)
        rows = folds.judges.sum(axis=1)
        assert sorted(rows)[-1] > 500
        assert all(15 <= n <= 25 for n in sorted(rows)[:-1])
        assert (folds.judges[:, 0].sum(), folds.judges.sum()) == (1, 600)

    def test_large_clusters_are_spread_over_the_parts(self):
        sizes = np.array([64] * 5 + [1] * 200)
        cluster = np.repeat(np.arange(len(sizes)), sizes)
        folds = Folds.of(cluster % 2, 5, 5, 0, cluster)
        assert (folds.judges.sum(axis=1) >= 64 + 39).all()
        assert (folds.judges.sum(axis=1) <= 64 + 41).all()

    def test_clusters_of_a_rare_arm_are_spread_wherever_common_arms_are_in_them_too(self):
        rare = np.random.default_rng(0).permutation(100) < 10
        cluster = np.repeat(np.arange(100), 4)
        condition = np.where(np.arange(400) % 2, 2 * rare[cluster], np.arange(400) // 2 % 2)
        for seed in range(5):
            folds = Folds.of(condition, 5, 5, seed, cluster)
            assert (counts_by_arm_and_part(folds, 0)[2] == 2 * 2).all()

    def test_the_last_cluster_of_an_arm_fits_a_model_rather_than_stops_it(self):
        held = [[0, 2], [0, 0], [1, 2], [1, 1]]
        condition, cluster = np.concatenate(held), np.repeat(np.arange(4), 2)
        for seed in range(20):
            folds = Folds.of(condition, 4, 4, seed, cluster)
            assert folds.stops.any()
            for m in range(4):
                assert set(condition[rows_of(folds.fit, m)]) == {0, 1, 2}

    def test_the_only_pairing_that_keeps_every_arm_apart_is_found(self):
        # each arm in two of four clusters, which only one pairing sets apart
        held, sizes = [[0, 1], [0, 2], [1, 3], [2, 3]], [40, 10, 10, 10]
        cluster = np.repeat(np.arange(4), sizes)
        condition = np.concatenate([np.resize(own, n) for own, n in zip(held, sizes, strict=True)])
        for seed in range(20):
            folds = Folds.of(condition, 2, 2, seed, cluster)
            assert (counts_by_arm_and_part(folds, 0) > 0).all()

    def test_clusters_that_cannot_be_parted_are_refused_by_an_arm(self):
        # of three clusters in two parts, two are together, and they share an arm
        cluster = np.repeat([0, 1, 2], 10)
        condition = np.concatenate(
            [np.arange(10) % 2, np.arange(10) % 2 * 2, np.arange(10) % 2 + 1]
        )
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            Folds.of(condition, 2, 2, 0, cluster)
        assert caught.value.args[0] in (0, 1, 2)
        assert Folds.of(condition, 3, 2, 0, cluster).n_parts == 3


class TestRows:
    @quick
    @given(any_folds())
    def test_conditions_are_in_consecutive_places_and_each_row_in_one(self, folds):
        masks = {
            "fit": ~folds.judges & ~folds.stops,
            "train": ~folds.judges,
            "judge": folds.judges,
        }
        for name, mask in masks.items():
            rows = getattr(folds, name)
            width = rows.counts.sum()
            assert rows.index.shape == rows.real.shape == (folds.n_models, width)
            assert ((rows.index >= 0) & (rows.index < len(folds.condition))).all()
            place = np.repeat(np.arange(folds.n_conditions), rows.counts)
            for m in range(folds.n_models):
                index, real = rows.index[m], rows.real[m]
                assert sorted(index[real]) == np.flatnonzero(mask[m]).tolist()
                np.testing.assert_array_equal(folds.condition[index[real]], place[real])

    @quick
    @given(any_folds())
    def test_an_arm_has_as_many_places_as_the_model_of_most_of_its_rows_needs(self, folds):
        for name in ("fit", "stop", "train", "judge"):
            rows = getattr(folds, name)
            place = np.repeat(np.arange(folds.n_conditions), rows.counts)
            for arm in range(folds.n_conditions):
                most = rows.real[:, place == arm].sum(axis=1).max()
                assert rows.counts[arm] == max(most, 1)


def rows_of(rows, model):
    return sorted(rows.index[model][rows.real[model]].tolist())


PACKAGE = Path(hypercate.__file__).parent
SPLITTERS = (
    "train_test_split", "KFold", "ShuffleSplit", "GroupShuffleSplit", "StratifiedShuffleSplit",
    "StratifiedKFold", "GroupKFold", "StratifiedGroupKFold", "RepeatedKFold",
    "RepeatedStratifiedKFold", "TimeSeriesSplit", "PredefinedSplit", "LeaveOneOut", "LeavePOut",
    "LeaveOneGroupOut", "LeavePGroupsOut", "check_cv", "resample", "bootstrap", "random_split",
    "permutation", "permuted", "shuffle", "choice", "choices", "randperm", "multinomial",
)  # fmt: skip
DRAWS = (
    "default_rng", "RandomState", "check_random_state", "SeedSequence",
    "rand", "rand_like", "randn", "randn_like", "randint", "bernoulli",
)  # fmt: skip
DRAWN = ("datasets/", "benchmark/", "pretraining/worlds/")  # studies and learners of our own
MAY_DRAW = {
    ("answers/arguments.py", "draw_seed"): "a seed",
    ("inference/jackknife.py", "mix"): "how deviations are mixed",
    ("generator/hypernetwork.py", "init"): "weights",
    ("generator/hypernetwork.py", "normal"): "weights",
    ("generator/perturbation.py", "perturb"): "dropout, noise, widths and depths",
    ("train/run.py", "_shuffle"): "the order in which a model meets its own rows",
    ("pretraining/emitter.py", "__init__"): "weights, and random directions",
    ("pretraining/last_layers.py", "normal"): "networks, by their posterior",
    ("pretraining/weights.py", "read"): "a random start, in whose place weights are read",
    ("pretraining/training.py", "sizes"): "sizes of simulated studies",
    ("pretraining/training.py", "train"): "simulated studies",
    ("sensitivity/refuters.py", "_draws"): "other fits, which are told what their answer is",
    ("inspection/importance.py", "_permuted"): "the orders in which a column is permuted",
    ("inspection/shapley.py", "_numpy_as_before"): "nothing: what shap seeds is put back",
    ("updated/correction.py", "none"): "directions of waves",
    ("sampling.py", "__init__"): "which rows are read at all, before a fit",
    (
        "plots/effects.py",
        "_draw_rows",
    ): "the points of a picture that are shown, and where",
}
OF_OTHER_FITS = ("_placebo", "_dummy_outcome", "_subset")
MAY_SPLIT = {
    ("inspection/importance.py", "_permuted"),
    ("plots/effects.py", "_draw_rows"),
    *(("sensitivity/refuters.py", name) for name in OF_OTHER_FITS),
}


def row_draws(source, path):
    """What in a module draws or splits rows: messages with the line."""
    found = []

    def visit(node, function):
        if isinstance(node, ast.FunctionDef):
            function = node.name
        elif isinstance(node, ast.ImportFrom | ast.Import):
            modules = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            for name in filter(None, modules):
                if name == "random" or name.startswith("sklearn.model_selection"):
                    found.append(f"{path}:{node.lineno} imports {name}")
                drawn = name in DRAWS and path not in {module for module, _ in MAY_DRAW}
                if name in SPLITTERS or drawn:
                    found.append(f"{path}:{node.lineno} imports {name}")
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            owner = getattr(node.func, "value", None)
            of_numpy = getattr(owner, "attr", None) == "random"
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            splits = name in SPLITTERS or name.startswith("cross_val") or name.endswith("CV")
            splits |= name == "sample" and getattr(owner, "id", None) != "folds"
            splits |= "cv" in keywords
            if name.startswith("HistGradientBoosting"):  # else it may split its rows to stop
                stopping = keywords.get("early_stopping")
                splits |= not (isinstance(stopping, ast.Constant) and stopping.value is False)
            if splits and (path, function) not in MAY_SPLIT:
                found.append(f"{path}:{node.lineno} splits by {name}")
            if (name in DRAWS or of_numpy) and (path, function) not in MAY_DRAW:
                found.append(f"{path}:{node.lineno} draws by {name}")
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(source), "")
    return found


class TestTheOnlyPlace:
    def modules(self):
        for path in sorted(PACKAGE.rglob("*.py")):
            name = path.relative_to(PACKAGE).as_posix()
            if not name.startswith(DRAWN) and name != "folds.py":
                yield name, path.read_text()

    def test_no_other_module_draws_or_splits_rows(self):
        modules = dict(self.modules())
        assert {"ensemble.py", "scoring.py", "nuisance/propensity.py"} <= set(modules)
        assert [line for name, source in modules.items() for line in row_draws(source, name)] == []

    def test_what_may_draw_is_there_and_draws(self):
        modules = dict(self.modules())
        for path, function in MAY_DRAW:
            renamed = modules[path].replace(f"def {function}(", f"def other_{function}(")
            assert row_draws(renamed, path)

    @pytest.mark.parametrize(
        "source",
        [
            "rows = np.random.default_rng(0).permutation(n)",
            "rng = np.random.default_rng(seed)",
            "rng = check_random_state(seed)",
            "def mix(rng):\n    return rng.choice(n, 10)",
            "rng.shuffle(rows)",
            "order = torch.randperm(n)",
            "order = torch.argsort(torch.rand(n))",
            "held = frame.sample(frac=0.2)",
            "import random",
            "rows = np.random.integers(n, size=10)",
            "rows = np.random.uniform(size=n) < 0.2",
            "from sklearn import model_selection\nmodel_selection.KFold(5)",
            "from sklearn.model_selection import train_test_split",
            "from sklearn.model_selection import KFold as K",
            "from sklearn.utils import resample",
            "CalibratedClassifierCV(model)",
            "cross_val_predict(model, x, y)",
            "StackingRegressor(models, cv=5)",
            "HistGradientBoostingRegressor(random_state=0)",
            "HistGradientBoostingRegressor(early_stopping=True)",
        ],
    )
    def test_the_search_finds(self, source):
        assert row_draws(source, "answers/arguments.py")

    def test_the_search_finds_a_generator_under_another_name(self):
        assert row_draws("from numpy.random import default_rng as rng", "scoring.py")
