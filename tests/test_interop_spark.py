"""Frames of Spark are predicted as `predict` does, on a local Spark of two threads."""

import decimal
import shutil
import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
from served import fitted, frame
from sklearn.exceptions import NotFittedError

from hypercate import HyperCATE
from hypercate.interop.spark import predict

pyspark = pytest.importorskip("pyspark", reason="frames of Spark are predicted, not installed")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java, which is not installed", allow_module_level=True)

from pyspark.sql import SparkSession, functions  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:PySpark does not yet fully support pandas:FutureWarning"  # of Arrow's batches, it does
)

TYPES = "row bigint, age double, dose double, smoker boolean, site string, grade bigint"
ALL = {"interval": 0.9, "outcomes": True}


@pytest.fixture(scope="module")
def spark():
    options = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "40",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master("local[2]")
        for name, value in options.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield session
        session.stop()


@cache
def rows():
    """Rows as the model saw them, but grades as text, and their places."""
    _, X = fitted("instant")
    X = X.assign(grade=X["grade"].astype(str)).reset_index(drop=True)
    return X.assign(row=np.arange(len(X)))


def records(X):
    """Rows as Spark takes them."""
    objects = X[["row", *frame()[0].columns]].astype(object)
    objects["grade"] = objects["grade"].astype(int)
    return objects.where(objects.notna(), None).values.tolist()


@pytest.fixture(scope="module")
def given(spark):
    """The rows in three partitions, in order."""
    numbered = spark.createDataFrame(records(rows()), TYPES)
    return numbered.repartitionByRange(3, "row").sortWithinPartitions("row")


def table(found):
    """The rows of a frame, in the order of its partitions."""
    return pd.DataFrame([row.asDict() for row in found.collect()], columns=found.columns)


class TestPredict:
    def test_effects_are_those_of_predict_in_the_order_of_the_rows(self, given):
        est, _ = fitted("instant")
        found = table(predict(est, given, keep=["row"], **ALL))
        X = rows()
        arms = ("drug", "surgery")
        names = [f"{what}_{arm}" for what in ("effect", "ci_lower", "ci_upper") for arm in arms]
        names += [f"outcome_{arm}" for arm in ("control", *arms)]
        assert list(found) == ["row", *names]
        assert found["row"].tolist() == X["row"].tolist()
        covariates = X.drop(columns="row")
        parts = [est.predict(covariates), *est.effect_interval(covariates, alpha=1 - 0.9)]
        expected = np.hstack([*parts, est.predict_outcomes(covariates)])
        np.testing.assert_allclose(found[names].to_numpy(), expected, rtol=1e-5, atol=1e-5)

    def test_batches_are_predicted_to_the_bit(self, given):
        est, _ = fitted("instant")
        place = functions.spark_partition_id().alias("part")
        found = table(predict(est, given.withColumn("part", place), keep=["row", "part"]))
        for _, part in found.groupby("part"):
            for first in range(0, len(part), 40):  # rows of a batch
                own = part.iloc[first : first + 40]
                X = rows().iloc[own["row"]].drop(columns="row")
                effects = own[["effect_drug", "effect_surgery"]].to_numpy()
                np.testing.assert_array_equal(effects, est.predict(X))
        assert found["part"].nunique() == 3

    def test_several_outcomes_and_doses_have_their_columns(self, spark, given):
        est, X = fitted("levels")
        clinics = functions.lit("clinic 03").alias("clinic")
        found = predict(est, given.select("*", clinics))
        assert found.columns == [
            f"effect_{arm}_{name}" for arm in ("drug", "surgery") for name in ("size", "visits")
        ]
        expected = est.predict(rows().drop(columns="row").assign(clinic="clinic 03"))
        np.testing.assert_allclose(
            table(found).to_numpy(), expected.reshape(len(X), -1), rtol=1e-5, atol=1e-5
        )
        est, _ = fitted("doses")
        found = table(predict(est, given)).to_numpy()
        expected = est.predict(rows().drop(columns="row")).reshape(found.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)

    def test_kept_columns_stay_as_they_are(self, spark):
        est, _ = fitted("instant")
        some = records(rows())[:3]
        kept = [
            (2**62 + 1, decimal.Decimal("1.10"), [1, 2]),
            (None, None, None),
            (7, decimal.Decimal("2.00"), []),
        ]
        types = f"{TYPES}, `big.id` bigint, cost decimal(10,2), codes array<int>"
        given = spark.createDataFrame([(*a, *b) for a, b in zip(some, kept, strict=True)], types)
        found = predict(est, given.coalesce(1), keep=["big.id", "cost", "codes"])
        assert [tuple(row)[:3] for row in found.collect()] == kept
        assert found.schema.fields[:3] == given.schema.fields[-3:]

    def test_partitions_without_rows_give_none(self, given):
        est, _ = fitted("instant")
        found = predict(est, given.filter("row < 20"))
        assert found.rdd.getNumPartitions() == 3
        assert found.count() == 20
        none = predict(est, given.filter("row < 0"), keep=["site"])
        assert none.columns == ["site", "effect_drug", "effect_surgery"]
        assert none.count() == 0


class TestRefusals:
    def test_what_cannot_be_predicted_is_said_at_once(self, spark, given):
        est, X = fitted("instant")
        with pytest.raises(ValueError, match="no column 'age', 'site', which the model needs"):
            predict(est, given.drop("age", "site"))
        with pytest.raises(ValueError, match="no column 'patient', as keep says"):
            predict(est, given, keep=["patient"])
        with pytest.raises(TypeError, match="column 'age' holds string"):
            predict(est, given.withColumn("age", functions.lit("old")))
        with pytest.raises(TypeError, match="column 'site' holds double"):
            predict(est, given.withColumn("site", functions.lit(1.5)))
        with pytest.raises(TypeError, match=r"pyspark.sql.DataFrame"):
            predict(est, X)
        with pytest.raises(NotFittedError):
            predict(HyperCATE(), given)
