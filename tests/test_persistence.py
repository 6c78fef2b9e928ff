"""A model as a file: the same answers, nothing of the rows in a slim one, damage that is told."""

import copy
import dataclasses
import hashlib
import json
import os
import pickle
import re
import resource
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from hypercate import HyperCATE, persistence
from hypercate.evidence import Evidence
from hypercate.fitted import Generator, Pretrained, Seen

SMALL = {"n_members": 2, "max_epochs": 3, "outcome_hidden": (8, 8), "hypernet_hidden": [8]}
SMALL |= {"device": "cpu", "random_state": 3}
N = 90


def frame(seed=0):
    """Numbers, some missing, booleans, strings and categories."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(N, 2)), columns=["age", "dose, in mg"])
    X.iloc[::7, 0] = np.nan
    X["smoker"] = rng.random(N) < 0.4
    X["site"] = np.where(rng.random(N) < 0.1, None, rng.choice(["nørth", 'so"uth', "wes\\t"], N))
    X["stage"] = pd.Categorical(rng.integers(1, 4, N))
    return X


def matrix(seed=0):
    return np.random.default_rng(seed).normal(size=(N, 3))


def three_arms(seed=1):
    arm = np.random.default_rng(seed).permutation(np.arange(N) % 3)
    return arm, 3.0 * arm + np.random.default_rng(seed + 1).normal(size=N)


def study(name):
    """Parameters, X, y, treatment and the further arguments of a fit."""
    arm, y = three_arms()
    groups = np.arange(N) // 3
    weight = 1.0 + np.arange(N) % 4 * (np.arange(N) % 9 > 0)
    weight[::9] = 0
    return {
        "strings in a frame": (
            {"control": "placebo"},
            frame(),
            y,
            np.array(["low", "placebo", "high dose"])[arm],
            {"groups": groups, "sample_weight": weight},
        ),
        "integers and dropout": (
            {"inputs": "raw", "uncertainty": "dropout", "hypernet_dropout": 0.2, "n_heads": 2},
            matrix(),
            y,
            10 * arm.astype(np.int16) - 10,
            {},
        ),
        "booleans and a binary outcome": (
            {"inputs": "boosted", "n_members": 7, "random_state": np.int64(5)},
            pd.DataFrame(matrix(), columns=range(3)),
            np.where(y > 3, "yes", "no"),
            arm > 0,
            {},
        ),
        "both sources, not calibrated": (
            {
                "inputs": "raw",
                "uncertainty": "both",
                "hypernet_noise": 0.5,
                "hypernet_dropout": 0.1,
                "spectral_norm": True,
                "calibrate": False,
            },
            matrix().astype(np.float32),
            y > 3,
            arm,
            {},
        ),
        "no generator": (
            {"inputs": "raw", "generation": "none", "validation_fraction": 0.5},
            matrix().tolist(),
            y.tolist(),
            np.where(arm > 0, "treated", "untreated").astype("U20"),
            {},
        ),
        "a count": ({"outcome": "count"}, frame(), np.round(np.exp(y / 2)), arm, {}),
        "a positive outcome": ({"outcome": "positive"}, frame(), np.exp(y / 2), arm, {}),
        "a time": (
            {"outcome": "time", "horizon": 2},
            frame(),
            np.exp(y / 2),
            arm,
            {"event": np.arange(len(y)) % 3 > 0},
        ),
    }[name]


STUDIES = [
    "strings in a frame",
    "integers and dropout",
    "booleans and a binary outcome",
    "both sources, not calibrated",
    "no generator",
    "a count",
    "a positive outcome",
    "a time",
]
IN_SHORT = STUDIES[1]


def fit(name):
    parameters, X, y, treatment, more = study(name)
    return HyperCATE(**SMALL | parameters).fit(X, y, treatment, **more), X


@pytest.fixture(scope="module")
def models():
    """Fitted models and the rows they were fitted on, by name; each is fitted once."""
    fitted = {}

    def model(name):
        if name not in fitted:
            fitted[name] = fit(name)
        return fitted[name]

    return model


@pytest.fixture(scope="module")
def small(models, tmp_path_factory):
    """The bytes of the file of a small model, and what it predicts."""
    est, X = models(IN_SHORT)
    path = tmp_path_factory.mktemp("small") / "model.hypercate"
    est.save(path)
    return path.read_bytes(), est.predict(X)


def answers(est, X):
    """What a model says without its evidence, and with it."""
    slim = {
        "predict": est.predict(X),
        "outcomes": est.predict_outcomes(X),
        "draws": est.sample_effects(X, 20),
        "seeded draws": est.sample_effects(X, 20, random_state=1),
        "interval": est.effect_interval(X, alpha=0.1),
        "table": est.effect_inference(X).summary_frame(),
        "rejected": est.reject(X, 0.3),
        "sharing": est.sharing_,
        "inputs": est.inputs_,
        "history": est.history_,
    }
    if est.fitted_.evidence is None:
        return slim
    last = est.arms_[-1].item()
    whole = slim | {
        "ate": est.ate_inference().summary_frame(),
        "ate at X": est.ate_interval(X),
        "att": est.att_inference(T0=last).summary_frame(),
        "gate": est.gate_inference(np.arange(N) % 2).summary_frame(),
        "test": est.heterogeneity_test(),
    }
    if est.outcome_ == "time":  # of which nothing is said of a person's own
        return whole
    return whole | {
        "outcome": est.predict_outcome_interval(X, arm=last),
        "individual effect": est.individual_effect_interval(X, T0=last),
        "if independent": est.individual_effect_interval(X, T0=last, dependence="independent"),
    }


def as_bytes(answer):
    if isinstance(answer, pd.DataFrame | tuple):
        columns = answer if isinstance(answer, tuple) else [answer[name] for name in answer]
        return b"|".join(as_bytes(np.asarray(column)) for column in columns)
    if answer.dtype == object:
        return repr(answer.tolist()).encode()
    return str(answer.dtype).encode() + np.ascontiguousarray(answer).tobytes()


def assert_same_answers(est, other, X):
    expected, found = answers(est, X), answers(other, X)
    assert found.keys() == expected.keys()
    for name, answer in expected.items():
        assert as_bytes(found[name]) == as_bytes(answer), name


def leaves(value, path=""):
    """Places and values of all that a tree of dataclasses, dicts and sequences holds."""
    if dataclasses.is_dataclass(value):
        parts = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, tuple | list):
        parts = list(enumerate(value))
    else:
        yield path, value
        return
    yield path, type(value)
    for name, part in parts:
        yield from leaves(part, f"{path}.{name}")


def comparable(value):
    """Something equal only for values of the same type and bits."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    return type(value), repr(value)


class TestRoundTrip:
    @pytest.mark.parametrize("name", STUDIES)
    def test_every_array_and_value_comes_back_to_the_bit(self, name, models, tmp_path):
        est, _ = models(name)
        est.save(tmp_path / "model")
        loaded = HyperCATE.load(tmp_path / "model")
        expected, found = dict(leaves(est.fitted_)), dict(leaves(loaded.fitted_))
        assert list(found) == list(expected)
        assert sum(isinstance(value, np.ndarray) for value in expected.values()) > 20
        for path, value in expected.items():
            assert comparable(found[path]) == comparable(value), path

    @pytest.mark.parametrize("name", STUDIES)
    def test_every_answer_is_the_same_to_the_bit(self, name, models, tmp_path):
        est, X = models(name)
        est.save(tmp_path / "model")
        loaded = HyperCATE.load(tmp_path / "model", device="cpu")
        assert_same_answers(est, loaded, X)
        for attribute in ("arms_", "classes_", "outcome_", "n_features_in_", "encoded_names_"):
            found, expected = (getattr(model, attribute) for model in (loaded, est))
            np.testing.assert_array_equal(found, expected)
            assert np.asarray(found).dtype == np.asarray(expected).dtype
        assert loaded.n_parameters_ == est.n_parameters_
        assert hasattr(loaded, "feature_names_in_") == hasattr(est, "feature_names_in_")

    def test_another_process_gives_the_same_to_the_bit(self, models, tmp_path):
        script = (
            "import pickle, sys; import numpy as np; from hypercate import HyperCATE\n"
            "sys.path.insert(0, sys.argv[1]); from test_persistence import answers, as_bytes\n"
            "for name in sys.argv[2:]:\n"
            "    X = pickle.load(open(name + '.rows', 'rb'))\n"
            "    found = answers(HyperCATE.load(name + '.hypercate', device='cpu'), X)\n"
            "    found = {key: as_bytes(answer) for key, answer in found.items()}\n"
            "    pickle.dump(found, open(name + '.answers', 'wb'))\n"
        )
        names = {name: str(tmp_path / str(place)) for place, name in enumerate(STUDIES)}
        for name, path in names.items():
            est, X = models(name)
            est.save(f"{path}.hypercate")
            Path(f"{path}.rows").write_bytes(pickle.dumps(X))
        command = [sys.executable, "-W", "error", "-c", script, str(Path(__file__).parent)]
        done = subprocess.run([*command, *names.values()], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for name, path in names.items():
            found = pickle.loads(Path(f"{path}.answers").read_bytes())
            expected = {key: as_bytes(answer) for key, answer in answers(*models(name)).items()}
            assert found == expected, name

    def test_what_was_loaded_saves_and_loads_again(self, models, tmp_path):
        est, X = models(STUDIES[0])
        est.save(tmp_path / "first")
        HyperCATE.load(tmp_path / "first", device="cpu").save(tmp_path / "second")
        assert_same_answers(est, HyperCATE.load(tmp_path / "second", device="cpu"), X)

    @pytest.mark.parametrize("name", [STUDIES[0], STUDIES[2]])
    def test_what_was_loaded_fits_again_to_the_same_bits(self, name, models, tmp_path):
        est, X = models(name)
        est.save(tmp_path / "model")
        loaded = HyperCATE.load(tmp_path / "model", device="cpu")
        assert loaded.get_params() == est.get_params()
        assert type(loaded.hypernet_hidden) is list
        _, X, y, treatment, more = study(name)
        assert_same_answers(est, loaded.fit(X, y, treatment, **more), X)

    def test_a_generator_of_random_numbers_is_not_kept(self, models, tmp_path):
        _, X, y, treatment, _ = study(IN_SHORT)
        state = np.random.RandomState(0)
        est = HyperCATE(**SMALL | {"inputs": "raw", "random_state": state}).fit(X, y, treatment)
        est.save(tmp_path / "model")
        loaded = HyperCATE.load(tmp_path / "model", device="cpu")
        assert loaded.random_state is None
        assert_same_answers(est, loaded, X)

    @pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "auto"])
    def test_the_device_is_the_one_asked_for(self, device, models, tmp_path):
        est, X = models(IN_SHORT)
        copy.copy(est).set_params(device="cuda:7").save(tmp_path / "model")
        loaded = HyperCATE.load(tmp_path / "model", device=device)
        assert loaded.device == device
        np.testing.assert_allclose(loaded.predict(X), est.predict(X), rtol=1e-4, atol=1e-4)

    def test_labels_and_sizes_of_other_types_come_back_as_plain_ones(self, models, tmp_path):
        _, X, y, treatment, _ = study(IN_SHORT)
        X = pd.DataFrame(X, columns=[("a", 1), ("b", None), ("c", 2.5)])
        parameters = {"outcome_hidden": torch.Size([8, 8]), "n_members": np.int8(2)}
        parameters |= {"inputs": "raw", "control": np.int64(0), "hypernet_dropout": np.float32(0)}
        est = HyperCATE(**SMALL | parameters).fit(X, y, treatment)
        est.save(tmp_path / "model")
        loaded = HyperCATE.load(tmp_path / "model", device="cpu")
        assert loaded.get_params() == est.get_params()
        assert loaded.outcome_hidden == (8, 8)
        assert loaded.fitted_.features.labels == (("a", 1), ("b", None), ("c", 2.5))
        assert_same_answers(est, loaded, X)

    def test_labels_of_the_other_byte_order_come_back(self, models, tmp_path):
        _, X, y, treatment, _ = study(IN_SHORT)
        est = HyperCATE(**SMALL | {"inputs": "raw"}).fit(X, y, treatment.astype(">i4"))
        est.save(tmp_path / "model")
        loaded = HyperCATE.load(tmp_path / "model", device="cpu")
        assert loaded.arms_.tolist() == est.arms_.tolist() == [-10, 0, 10]
        assert_same_answers(est, loaded, X)

    @pytest.mark.parametrize(
        "name", ["x" * 5000, "\ud800" * 2000, "\ud800", '"sha256":"' + "0" * 64]
    )
    def test_names_of_columns_may_be_long_or_strange(self, name, tmp_path):
        _, X, y, treatment, _ = study(IN_SHORT)
        X = pd.DataFrame(X, columns=pd.Index(["a", "", name], dtype=object))
        est = HyperCATE(**SMALL | {"inputs": "raw"}).fit(X, y, treatment)
        est.save(tmp_path / "model")
        loaded = HyperCATE.load(tmp_path / "model", device="cpu")
        assert loaded.feature_names_in_.tolist() == ["a", "", name]
        assert_same_answers(est, loaded, X)


class TestCopies:
    @pytest.mark.parametrize("name", [STUDIES[0], STUDIES[3]])
    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda est: pickle.loads(pickle.dumps(est))])
    def test_of_loaded_models_answer_to_the_bit(self, name, copied, models, tmp_path):
        est, X = models(name)
        est.save(tmp_path / "model")
        other = copied(HyperCATE.load(tmp_path / "model", device="cpu"))
        assert other.get_params() == est.get_params()
        assert_same_answers(est, other, X)
        assert_same_answers(est, copied(est), X)

    def test_a_clone_of_a_loaded_model_is_unfitted(self, models, tmp_path):
        est, X = models(IN_SHORT)
        est.save(tmp_path / "model")
        other = clone(HyperCATE.load(tmp_path / "model", device="cpu"))
        assert other.get_params() == est.get_params()
        assert not hasattr(other, "fitted_")
        assert not hasattr(other, "arms_")
        with pytest.raises(NotFittedError):
            other.predict(X)


class TestSaving:
    def test_before_a_fit_there_is_nothing_to_save(self, tmp_path):
        with pytest.raises(NotFittedError):
            HyperCATE().save(tmp_path / "model")
        assert not list(tmp_path.iterdir())

    def test_a_file_is_replaced_and_nothing_else_is_left(self, models, tmp_path):
        path = tmp_path / "model"
        path.write_text("something else")
        est, X = models(IN_SHORT)
        for _ in range(2):
            est.save(str(path))
        assert list(tmp_path.iterdir()) == [path]
        assert_same_answers(est, HyperCATE.load(str(path), device="cpu"), X)

    def test_the_old_file_stays_if_the_disk_is_full(self, models, tmp_path):
        path = tmp_path / "model"
        (first, X), (second, _) = models(IN_SHORT), models(STUDIES[0])
        first.save(path)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
            with pytest.raises(OSError, match="too large"):
                second.save(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert list(tmp_path.iterdir()) == [path]
        assert_same_answers(first, HyperCATE.load(path, device="cpu"), X)

    @pytest.mark.parametrize("what", [object(), {1: 2}, 1j, np.datetime64("2020"), b"bytes"])
    def test_the_old_file_stays_if_a_parameter_has_no_place_in_a_file(self, what, models, tmp_path):
        path = tmp_path / "model"
        est, X = models(IN_SHORT)
        est.save(path)
        with pytest.raises(TypeError, match=re.escape(type(what).__name__)):
            copy.copy(est).set_params(control=what).save(path)
        assert list(tmp_path.iterdir()) == [path]
        assert_same_answers(est, HyperCATE.load(path, device="cpu"), X)

    def test_a_folder_that_is_not_there_and_a_folder_in_its_place_are_refused(
        self, models, tmp_path
    ):
        est, _ = models(IN_SHORT)
        (tmp_path / "folder").mkdir()
        for path in (tmp_path / "none" / "model", tmp_path / "folder"):
            with pytest.raises(OSError, match=path.name):
                est.save(path)
        assert [path.name for path in tmp_path.iterdir()] == ["folder"]
        assert not list((tmp_path / "folder").iterdir())

    def test_others_may_read_the_file_as_any_that_the_user_writes(self, models, tmp_path):
        models(IN_SHORT)[0].save(tmp_path / "model")
        (tmp_path / "plain").write_bytes(b"")
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("model", "plain")]
        assert modes[0] == modes[1]

    def test_a_link_stays_one(self, models, tmp_path):
        (tmp_path / "folder").mkdir()
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "folder" / "model")
        est, X = models(IN_SHORT)
        est.save(link)
        assert link.is_symlink()
        assert_same_answers(est, HyperCATE.load(tmp_path / "folder" / "model", device="cpu"), X)


def mutated(data, rng):
    """A file with a byte flipped, a slice deleted or doubled, bytes inserted, or its end cut."""
    head = int.from_bytes(data[:8], "little") + 8
    # half of the harm is done to the few bytes of the header
    at = int(rng.integers(head if rng.random() < 0.5 else len(data)))
    size = int(rng.choice([1, 2, 8, 64, 1000]))
    noise = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
    how = rng.integers(6)
    if how == 0:
        return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
    if how == 1:
        return data[:at] + data[at + size :]
    if how == 2:
        return data[:at]
    if how == 3:
        return data[:at] + noise + data[at:]
    if how == 4:
        return data[:at] + noise[: len(data) - at] + data[at + size :]
    return data[: at + size] + data[at:]


def parts(data):
    """The header and the tensors of a file."""
    n = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def signed(header, tensors):
    """A file of a header and tensors with the checksum that fits."""
    header["__metadata__"]["sha256"] = "0" * 64
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = len(text).to_bytes(8, "little") + text + tensors
    digest = hashlib.sha256(data).hexdigest().encode()
    return data.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + digest, 1)


def rewritten(data, change):
    """A file whose content `change` has changed, signed anew."""
    header, tensors = parts(data)
    content = json.loads(header["__metadata__"]["hypercate"])
    change(content)
    header["__metadata__"]["hypercate"] = json.dumps(content)
    return signed(header, tensors)


def class_nodes(node):
    """All nodes of a content that are dataclasses."""
    if isinstance(node, dict):
        if "class" in node:
            yield node
        for item in node.values():
            yield from class_nodes(item)
    elif isinstance(node, list):
        for item in node:
            yield from class_nodes(item)


def alike(value, other):
    """Whether values may stand in the same place of a model."""
    if isinstance(value, int | float) and isinstance(other, int | float):
        return isinstance(value, bool) == isinstance(other, bool)
    kind, expected = (v if isinstance(v, type) else type(v) for v in (value, other))
    # a model may be slim, its columns without names, and nothing trained or nothing emitted
    may_lack = {np.ndarray, Evidence, tuple, Generator, Pretrained, Seen}
    return kind is expected or (type(None) in (kind, expected) and {kind, expected} & may_lack)


def read(path, data):
    """The model of a file, or None if it is refused as it should be."""
    path.write_bytes(data)
    try:
        return HyperCATE.load(path, device="cpu")
    except (ValueError, OSError) as error:
        said = str(error)
    assert said
    return None


class TestDamage:
    @pytest.mark.parametrize("seed", range(4))
    def test_a_damaged_file_is_refused_or_predicts_the_same(self, seed, small, tmp_path):
        """250 a seed, so 1,000 files."""
        data, predicted = small
        rng = np.random.default_rng(seed)
        refused = 0
        for _ in range(250):
            harmed = mutated(data, rng)
            est = read(tmp_path / "model", harmed)
            if est is not None:
                np.testing.assert_array_equal(est.predict(matrix()), predicted)
                assert harmed == data
            refused += est is None
        assert refused > 240

    def test_no_flip_of_a_bit_of_the_header_goes_unseen(self, small, tmp_path):
        data, _ = small
        head = int.from_bytes(data[:8], "little") + 8
        for at in [*range(8), *range(8, head, 37), *range(head, len(data), 997)]:
            harmed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            assert read(tmp_path / "model", harmed) is None, at

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\0" * 7,
            b"\0" * 8,
            b"\xff" * 100,
            b"a,b\n1,2\n" * 100,
            pickle.dumps({"a": 1}),
            (10**6).to_bytes(8, "little") + b"{}",
            (2).to_bytes(8, "little") + b"{}",
        ],
    )
    def test_another_file_is_not_a_model(self, data, tmp_path):
        (tmp_path / "model").write_bytes(data)
        with pytest.raises(
            ValueError, match=r"model is not a model of hypercate, or was cut short"
        ):
            HyperCATE.load(tmp_path / "model")

    def test_messages_say_what_is_wrong(self, small, tmp_path):
        data, _ = small
        (tmp_path / "model").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ValueError, match=r"model is damaged: its checksum .* Copy it again"):
            HyperCATE.load(tmp_path / "model")
        with pytest.raises(FileNotFoundError, match="absent"):
            HyperCATE.load(tmp_path / "absent")
        with pytest.raises(IsADirectoryError):
            HyperCATE.load(tmp_path)


class TestOtherContent:
    """Files whose checksum fits, but that `save` did not write."""

    def test_the_checksum_is_as_described(self, small, tmp_path):
        data, predicted = small
        est = read(tmp_path / "model", rewritten(data, lambda content: None))
        np.testing.assert_array_equal(est.predict(matrix()), predicted)

    def test_a_newer_format_is_refused(self, small, tmp_path):
        def change(content):
            content |= {
                "format": persistence.FORMAT + 1,
                "package": "9.8.7",
                "fitted": "unheard of",
            }

        (tmp_path / "model").write_bytes(rewritten(small[0], change))
        newer = r"written by hypercate 9\.8\.7 in format 2, .* up to 1: upgrade hypercate"
        with pytest.raises(ValueError, match=newer):
            HyperCATE.load(tmp_path / "model")

    @pytest.mark.parametrize("name", ["os.system", "Popen", "object", "Series", "", 3, None, []])
    def test_an_unknown_class_is_refused(self, name, small, tmp_path):
        def change(content):
            content["fitted"]["fields"]["conditions"]["class"] = name

        (tmp_path / "model").write_bytes(rewritten(small[0], change))
        said = "of the unknown class" if name != [] else "can read, although its checksum is right"
        with pytest.raises(ValueError, match=said):
            HyperCATE.load(tmp_path / "model")

    def test_a_missing_a_further_and_a_misnamed_field_are_refused(self, small, tmp_path):
        data, _ = small
        content = json.loads(parts(data)[0]["__metadata__"]["hypercate"])
        nodes = list(class_nodes(content))
        assert len(nodes) > 10
        for place, node in enumerate(nodes):
            fields = sorted(node["fields"])
            for new in (
                [],
                *([["further"]] if not fields else [[*fields[1:]], [*fields, "further"]]),
            ):
                if new == fields:
                    continue

                def change(content, place=place, new=new):
                    fields = list(class_nodes(content))[place]["fields"]
                    kept = {name: fields.get(name, 0) for name in new}
                    fields.clear()
                    fields |= kept

                (tmp_path / "model").write_bytes(rewritten(data, change))
                with pytest.raises(ValueError, match=f"its {node['class']} lacks fields"):
                    HyperCATE.load(tmp_path / "model")

    @pytest.mark.parametrize(
        "wrong",
        [
            *("text", None, True, [], {}, [1, 2], 1.5, -7, {"float": "nan"}, {"float": "x"}),
            *(
                {"text": "t0"},
                {"text": "absent"},
                {"array": "absent", "shape": []},
                {"array": "t0"},
            ),
            *({"array": "t0", "shape": [-2, -2]}, {"array": "t0", "shape": "no"}),
            *({"strings": [1], "dtype": "<U1"}, {"strings": ["a"], "dtype": "no"}),
            *({"strings": ["a"], "dtype": "<U1"}, {"strings": ["a"]}, {"tuple": 3}, {"list": []}),
            *({"tuple": []}, {"tuple": [1, "a"]}, {"dict": {}}, {"dict": {"a": 1}}, {"dict": []}),
            *({"unheard": 1}, {"class": "Normal", "fields": {}}, {"class": "Normal"}),
        ],
        ids=repr,
    )
    def test_a_value_of_a_wrong_kind_is_refused(self, wrong, small, tmp_path):
        """In the place of each field of every class; where it is of the right kind it is read."""
        data, _ = small
        content = json.loads(parts(data)[0]["__metadata__"]["hypercate"])
        kept = dict(leaves(read(tmp_path / "model", data).fitted_))
        refused = 0
        one_of_each = {node["class"]: place for place, node in enumerate(class_nodes(content))}
        for place, node in enumerate(class_nodes(content)):
            for name in node["fields"] if one_of_each[node["class"]] == place else ():

                def change(content, place=place, name=name):
                    list(class_nodes(content))[place]["fields"][name] = wrong

                est = read(tmp_path / "model", rewritten(data, change))
                refused += est is None
                for path, value in leaves(est.fitted_) if est is not None else ():
                    assert alike(value, kept.get(path, value)), path
        assert refused > 50

    def test_fields_have_the_types_that_their_classes_declare(self, small, tmp_path):
        def wrong(**fields):
            def change(content):
                content["fitted"]["fields"] |= fields

            return rewritten(small[0], change)

        for fields, message in (
            ({"seed": "seven"}, "Fitted.seed is of type str"),
            ({"seed": True}, "Fitted.seed is of type bool"),
            ({"seed": None}, "Fitted.seed is of type NoneType"),
            ({"networks": 3}, "Fitted.networks is of type int"),
            ({"family": {"dict": {}}}, "Fitted.family is of type dict"),
        ):
            (tmp_path / "model").write_bytes(wrong(**fields))
            with pytest.raises(ValueError, match=message):
                HyperCATE.load(tmp_path / "model")

    @pytest.mark.parametrize("field", ["format", "package", "parameters", "fitted"])
    @pytest.mark.parametrize("wrong", ["absent", None, "text", [], {}, {"tuple": []}])
    def test_the_frame_of_the_content_is_checked(self, field, wrong, small, tmp_path):
        def change(content):
            if wrong == "absent":
                del content[field]
            else:
                content[field] = wrong

        est = read(tmp_path / "model", rewritten(small[0], change))
        assert (est is not None) == (field == "package" and wrong != "absent")

    def test_an_unknown_parameter_is_refused(self, small, tmp_path):
        def change(content):
            content["parameters"]["dict"]["magic"] = 3

        (tmp_path / "model").write_bytes(rewritten(small[0], change))
        with pytest.raises(ValueError, match="parameters that HyperCATE does not have: magic"):
            HyperCATE.load(tmp_path / "model")

    def test_a_tree_without_end_is_refused(self, small, tmp_path):
        header, tensors = parts(small[0])
        for deep in ('{"tuple":[' * 10**5 + "]}" * 10**5, '{"tuple":[' * 5000 + "]}" * 5000):
            content = f'{{"format":1,"package":"0","parameters":{{"dict":{{}}}},"fitted":{deep}}}'
            header["__metadata__"]["hypercate"] = content
            assert read(tmp_path / "model", signed(header, tensors)) is None

    def test_trees_that_lead_nowhere_are_refused(self, small, tmp_path):
        header, tensors = parts(small[0])
        child = re.search(rb"left_child=(\d)", tensors)
        tensors = tensors[: child.start(1)] + b"9" + tensors[child.end(1) :]
        (tmp_path / "model").write_bytes(signed(header, tensors))
        with pytest.raises(ValueError, match="trees are not as LightGBM writes them"):
            HyperCATE.load(tmp_path / "model")

    @pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "C64", "I64", "U8"])
    def test_tensors_of_another_type_are_refused(self, dtype, small, tmp_path):
        header, tensors = parts(small[0])
        for name, entry in header.items():
            if name != "__metadata__" and entry["dtype"] == "F64":
                size = {"BF16": 2, "F8_E4M3": 1, "C64": 8, "I64": 8, "U8": 1}[dtype]
                n = int(np.prod(entry["shape"], dtype=int)) * 8 // size
                entry |= {"dtype": dtype, "shape": [n]}
        est = read(tmp_path / "model", signed(header, tensors))
        assert est is None or dtype == "I64"

    def test_a_header_damaged_before_it_was_signed_never_raises_anything_else(
        self, small, tmp_path
    ):
        rng = np.random.default_rng(0)
        header, tensors = parts(small[0])
        content = header["__metadata__"]["hypercate"]
        refused = 0
        for _ in range(400):
            harmed = mutated((8).to_bytes(8, "little") + content.encode(), rng)[8:]
            header["__metadata__"]["hypercate"] = harmed.decode(errors="replace")
            refused += read(tmp_path / "model", signed(header, tensors)) is None
        assert refused > 200


class TestNothingRuns:
    def test_the_module_has_no_pickle(self):
        source = Path(persistence.__file__).read_text()
        for word in ("pickle", "joblib", "marshal", "shelve", "importlib.import", "__import__"):
            assert word not in source

    def test_loading_neither_imports_nor_compiles_nor_starts_anything(self, models, tmp_path):
        """Watched by the interpreter's audit hook, which cannot be removed: hence a process."""
        models(STUDIES[0])[0].save(tmp_path / "model")
        script = (
            "import pickle, sys; from hypercate import HyperCATE\n"
            "HyperCATE.load(sys.argv[1])\n"
            "seen = []\n"
            "sys.addaudithook(lambda event, args: seen.append(event))\n"
            "HyperCATE.load(sys.argv[1])\n"
            "found = list(seen)\n"
            "pickle.loads(pickle.dumps(HyperCATE)); eval('1')\n"
            "print(sorted(set(found))); print(sorted(set(seen)))\n"
        )
        command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "model")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found, seen = done.stdout.splitlines()
        assert "'open'" in found
        for event in ("import", "compile", "exec", "pickle.find_class"):
            assert f"'{event}'" not in found
        assert "'exec'" in seen
        assert "'pickle.find_class'" in seen
        assert "subprocess" not in found
        assert "os.system" not in found

    @pytest.mark.parametrize("name", STUDIES)
    def test_what_is_loaded_is_plain(self, name, models, tmp_path):
        models(name)[0].save(tmp_path / "model")
        for path, value in leaves(HyperCATE.load(tmp_path / "model").fitted_):
            if isinstance(value, type):
                assert value.__module__.startswith("hypercate.") or value in (tuple, dict, list)
            elif isinstance(value, np.ndarray):
                assert value.dtype.kind in "biufU", path
            else:
                assert type(value) in (int, float, str, bool, type(None)), path


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A model of rows whose every number is unlike any other, saved with and without evidence."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3))
    arm = (rng.random(N) < 1 / (1 + np.exp(-X[:, 0]))).astype(int) + 5
    y = 31_234.5 + 7_000 * X[:, 1] + 5_000 * arm + 4_000 * rng.normal(size=N)
    weight = (2_000 + 30_000 * rng.random(N)) * (rng.random(N) < 0.9)
    groups = rng.permutation(N) // 2 + 4_000
    est = HyperCATE(**SMALL | {"inputs": "auto"})
    est.fit(X, y, arm, sample_weight=weight, groups=groups)
    folder = tmp_path_factory.mktemp("private")
    est.save(folder / "full")
    est.save(folder / "slim", evidence=False)
    evidence = est.fitted_.evidence
    assert np.ptp(evidence.propensity[:, 0]) > 0.1  # else it is a share, which is kept
    numbers = {
        "outcome": evidence.y,
        "weight as given": weight[weight > 0],
        "weight": evidence.weight,
        "propensity": evidence.propensity.ravel(),
        "cross-fitted outcome": evidence.outcomes.ravel(),
    }
    codes = {
        "treatment": arm,
        "arm": evidence.arm,
        "condition": est.fitted_.conditions.place[evidence.arm],
        "group": groups,
        "cluster": evidence.cluster,
        "used": evidence.used,
        "judged row": evidence.row,
        "fingerprint": evidence.fingerprint.ravel(),
    }
    return est, X, (folder / "full").read_bytes(), (folder / "slim").read_bytes(), numbers, codes


def texts(value):
    """How a number may be written down in six significant digits or more."""
    written = {repr(float(value)), str(np.float32(value))}
    for digits in range(6, 18):
        written |= {f"{value:.{digits}g}", f"{value:.{digits - 1}e}", f"{value:#.{digits}g}"}
    return {text.encode() for text in written}


def words(data):
    """All numbers that are written down in a file, as they are written."""
    return set(re.findall(rb"[0-9][0-9.]*(?:[eE][-+]?[0-9]+)?", data))


def written(data, values):
    """Which values are found as bytes of floats, or as text."""
    found, said = [], words(data)
    for value in np.unique(values):
        for dtype in ("<f8", ">f8", "<f4", ">f4"):
            if np.array(value, dtype).tobytes() in data:
                found.append((value, dtype))
        if not said.isdisjoint(texts(value)) or f"{value:.14g}".strip("0.").encode() in data:
            found.append((value, "text"))
    return found


def held(data, codes):
    """As what types a vector is found, or its first half."""
    found = []
    for vector in (codes, codes[: len(codes) // 2]):
        for dtype in ("i8", "u1", "i2", "i4", "f4", "f8"):
            for order in "<>":
                if vector.astype(order + dtype).tobytes() in data:
                    found.append((len(vector), order + dtype))
        for between in (",", ", ", " ", "\n", ""):
            if between.join(map(str, vector.tolist())).encode() in data:
                found.append((len(vector), between))
    return found


class TestSlimFiles:
    @pytest.mark.parametrize(
        "name",
        ["outcome", "weight as given", "weight", "propensity", "cross-fitted outcome"],
    )
    def test_they_hold_no_number_of_a_training_row(self, name, private):
        *_, slim, numbers, _ = private
        assert written(slim, numbers[name]) == []

    @pytest.mark.parametrize(
        "name",
        ["treatment", "arm", "condition", "group", "cluster", "used", "judged row", "fingerprint"],
    )
    def test_they_hold_no_treatment_or_group_of_the_training_rows(self, name, private):
        *_, slim, _, codes = private
        assert held(slim, codes[name]) == []

    @pytest.mark.parametrize("name", ["outcome", "weight", "propensity", "cross-fitted outcome"])
    def test_the_search_finds_every_number_in_the_full_file(self, name, private):
        _, _, full, _, numbers, _ = private
        found = written(full, numbers[name])
        assert {value for value, dtype in found if dtype == "<f8"} == set(numbers[name])

    @pytest.mark.parametrize("name", ["arm", "cluster", "used", "judged row", "fingerprint"])
    def test_the_search_finds_every_vector_in_the_full_file(self, name, private):
        _, _, full, _, _, codes = private
        assert held(full, codes[name])

    @pytest.mark.parametrize("digits", [6, 9, 17])
    def test_the_search_finds_numbers_that_are_written_down(self, digits, private):
        *_, slim, numbers, codes = private
        for values in numbers.values():
            text = f"{values[7]:.{digits}g} {values[3]:.{digits - 1}e}".encode()
            assert {values[3], values[7]} <= {value for value, _ in written(slim + text, values)}
        text = ",".join(map(str, codes["arm"])).encode()
        assert {kind for _, kind in held(slim + text, codes["arm"])} == {","}

    def test_they_predict_with_intervals_to_the_bit(self, private, tmp_path):
        est, X, _, slim, *_ = private
        (tmp_path / "model").write_bytes(slim)
        loaded = HyperCATE.load(tmp_path / "model", device="cpu")
        assert loaded.fitted_.evidence is None
        found, whole = answers(loaded, X), answers(est, X)
        assert {"predict", "interval", "draws"} <= found.keys() < whole.keys()
        for name, answer in found.items():
            assert as_bytes(answer) == as_bytes(whole[name]), name

    @pytest.mark.parametrize(
        "ask",
        [
            lambda est, X: est.ate(),
            lambda est, X: est.ate(X),
            lambda est, X: est.ate_interval(),
            lambda est, X: est.ate_inference(),
            lambda est, X: est.att(),
            lambda est, X: est.att(X, np.arange(len(X)) % 2 + 5),
            lambda est, X: est.att_interval(),
            lambda est, X: est.gate(np.zeros(len(X))),
            lambda est, X: est.gate_interval(np.zeros(len(X))),
            lambda est, X: est.heterogeneity_test(),
            lambda est, X: est.predict_outcome_interval(X),
            lambda est, X: est.individual_effect_interval(X),
            lambda est, X: est.individual_effect_interval(X, dependence="independent"),
        ],
    )
    def test_what_rests_on_the_training_rows_is_refused(self, ask, private, tmp_path):
        _, X, _, slim, *_ = private
        (tmp_path / "model").write_bytes(slim)
        loaded = HyperCATE.load(tmp_path / "model", device="cpu")
        with pytest.raises(ValueError, match=r"saved without evidence.*evidence=True, or fit"):
            ask(loaded, X)

    def test_saving_one_leaves_the_model_whole(self, models, tmp_path):
        est, X = models(IN_SHORT)
        before = answers(est, X)
        est.save(tmp_path / "slim", evidence=False)
        assert answers(est, X).keys() == before.keys()
        assert est.fitted_.evidence is not None
        slim = HyperCATE.load(tmp_path / "slim", device="cpu")
        slim.save(tmp_path / "again", evidence=True)
        assert HyperCATE.load(tmp_path / "again").fitted_.evidence is None

    def test_they_do_not_grow_with_the_rows(self, tmp_path):
        sizes = []
        for n in (1000, 4000):
            rng = np.random.default_rng(0)
            X, arm = rng.normal(size=(n, 3)), rng.integers(0, 2, n)
            est = HyperCATE(**SMALL | {"inputs": "raw", "sharing": "weak"})
            est.fit(X, X[:, 0] + rng.normal(size=n), arm)
            est.save(tmp_path / "model", evidence=False)
            sizes.append(os.path.getsize(tmp_path / "model"))
        assert sizes[1] - sizes[0] < 1500  # half a byte a row
