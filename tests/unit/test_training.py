"""Training: strict configurations, bits that repeat, files that are refused, and the paper's two experiments."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensetrail.core.dataset import Rows
from sensetrail.core.model_file import read_model_file
from sensetrail.core.reading import HUNDREDTHS, Measurements
from sensetrail.errors import InputError, ManifestError
from sensetrail.sensor.room import PAPER_POINTS, false_measurements, law, simulate
from sensetrail.training.backend import keras
from sensetrail.training.configuration import (
    CHRONOLOGICAL,
    DEFAULT_DEVICE,
    DEFAULT_HUMIDITY,
    DEFAULTS,
    DEVICE,
    HUMIDITY,
    Configuration,
)
from sensetrail.training.environment import PACKAGES, UNKNOWN, environment
from sensetrail.training.fit import Trained, batch_order, load, predict_device, predict_humidity, save, split, train
from sensetrail.training.network import build_device_network, build_humidity_network
from sensetrail.training.traceability import run_traceability
from sensetrail.training.validity import Spread, run_validity

MIDNIGHT = 1_767_225_600
SHORT = {HUMIDITY: replace(DEFAULT_HUMIDITY, epochs=2), DEVICE: replace(DEFAULT_DEVICE, epochs=2)}


def device(number: int) -> str:
    return f"0x{number:040x}"


def rows_of(parts: dict[str, Measurements]) -> Rows:
    return Rows.concatenate(
        Rows(
            np.full(len(part), name, dtype="<U42"),
            np.arange(len(part), dtype=np.int64),
            part.measured_at,
            part.temperature,
            part.humidity,
        )
        for name, part in parts.items()
    )


def night(seed: int = 0, start: int = MIDNIGHT) -> dict[str, Measurements]:
    sensors = simulate(start, seed)
    return {device(1): sensors["A"], device(2): sensors["B"]}


def weights_digest(model: Any) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights())).hexdigest()


# --- configuration


@pytest.mark.parametrize("task", DEFAULTS)
def test_a_configuration_survives_json(task: str) -> None:
    configuration = DEFAULTS[task]
    assert configuration.task == task
    assert Configuration.from_json(json.loads(json.dumps(configuration.to_json()))) == configuration


@pytest.mark.parametrize("name", DEFAULT_HUMIDITY.to_json())
def test_a_configuration_without_one_key_is_refused(name: str) -> None:
    value = DEFAULT_HUMIDITY.to_json()
    del value[name]
    with pytest.raises(ManifestError, match=f"{name} is missing"):
        Configuration.from_json(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", "sell-ice"),
        ("task", None),
        ("hidden_units", []),
        ("hidden_units", [32, True]),
        ("hidden_units", [32, 0]),
        ("hidden_units", [10**9]),
        ("hidden_units", "32"),
        ("epochs", 0),
        ("epochs", 30.0),
        ("batch_size", -1),
        ("learning_rate", 1),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("learning_rate", float("nan")),
        ("decay_steps", 0),
        ("decay_rate", 1.5),
        ("decay_rate", 0.0),
        ("patience", -1),
        ("patience", False),
        ("validation_fraction", 1.0),
        ("validation_fraction", 0.0),
        ("split", "random"),
        ("seed", True),
        ("seed", "0"),
        ("seed", -1),
        ("seed", 2**32),
    ],
)
def test_a_configuration_with_a_wrong_value_is_refused(name: str, value: object) -> None:
    with pytest.raises(ManifestError, match=name) as caught:
        Configuration.from_json(DEFAULT_HUMIDITY.to_json() | {name: value})
    assert caught.value.to_do


@pytest.mark.parametrize("value", [None, [], "{}", DEFAULT_HUMIDITY.to_json() | {"momentum": 0.9}, {1: 2}])
def test_what_is_no_configuration_is_refused(value: object) -> None:
    with pytest.raises(ManifestError):
        Configuration.from_json(value)


# --- imports and environment


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_the_package_does_not_load_tensorflow() -> None:
    done = run_python(
        "import sys, sensetrail.training, sensetrail.training.configuration\n"
        "from sensetrail.training.environment import environment\n"
        "environment()\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
    )
    assert done.returncode == 0, done.stderr


def test_without_the_extra_the_error_says_what_to_install() -> None:
    done = run_python(
        "import sys\n"
        "sys.modules['keras'] = None\n"
        "from sensetrail.errors import MissingExtraError\n"
        "try:\n"
        "    import sensetrail.training.fit\n"
        "except MissingExtraError as error:\n"
        "    print(error.to_do)\n"
    )
    assert "sensetrail[train]" in done.stdout, done.stderr


def test_the_environment_names_software_and_processor(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Abacus 9\nmodel name\t: Abacus 10\n")
    found = environment(cpuinfo)
    assert set(found) == {"python", "machine", "cpu", *PACKAGES}
    assert found["cpu"] == "Abacus 9"
    assert found["keras"] == keras.__version__
    assert found["numpy"] == np.__version__
    assert UNKNOWN not in (found["python"], found["tensorflow"], found["machine"])
    assert environment(tmp_path / "none")["cpu"]


# --- split and order


def test_the_shuffled_split_takes_every_row_once() -> None:
    training, validation = split(np.arange(1000), DEFAULT_HUMIDITY, np.random.default_rng(0))
    assert len(validation) == 200
    assert sorted([*training, *validation]) == list(range(1000))
    assert 300 < np.mean(validation) < 700
    assert not np.array_equal(validation, split(np.arange(1000), DEFAULT_HUMIDITY, np.random.default_rng(1))[1])


def test_the_chronological_split_cuts_the_time_not_the_rows() -> None:
    # Two devices, one after the other in canonical order; nine readings in ten lie in the first half of the time.
    one_device = np.concatenate([np.arange(900), np.arange(1000, 1900, 9)])
    measured_at = np.concatenate([one_device, one_device])
    training, validation = split(measured_at, replace(DEFAULT_DEVICE, split=CHRONOLOGICAL), np.random.default_rng(0))
    last = measured_at.max()
    assert measured_at[training].max() <= 0.8 * last < measured_at[validation].min()
    assert sorted([*training, *validation]) == list(range(len(measured_at)))
    assert len(validation) == 2 * np.count_nonzero(one_device > 0.8 * last)


@pytest.mark.parametrize("configuration", [DEFAULT_DEVICE, replace(DEFAULT_DEVICE, split=CHRONOLOGICAL)])
@pytest.mark.parametrize("measured_at", [[], [5], [5, 5]])
def test_too_few_rows_are_refused(configuration: Configuration, measured_at: list[int]) -> None:
    with pytest.raises(InputError, match="too few"):
        split(np.array(measured_at, dtype=np.int64), configuration, np.random.default_rng(0))


def test_each_batch_holds_every_device_and_hour_in_proportion() -> None:
    count, batch_size = 1030, 100
    order = batch_order(count, replace(DEFAULT_DEVICE, epochs=4, batch_size=batch_size), np.random.default_rng(0))
    assert order.shape == (4 * 10, batch_size)
    for epoch in order.reshape(4, -1):
        assert len(set(epoch)) == 1000
    assert len(set(order.ravel())) == count
    for batch in order:
        assert np.histogram(batch, bins=5, range=(0, count))[0].tolist() == pytest.approx([20] * 5, abs=2)
    assert not np.array_equal(order[:10], order[10:20])


# --- networks


def test_the_rate_decays_by_equation_1_under_adam_and_the_papers_losses() -> None:
    column = np.ones((4, 1), dtype=np.float32)
    humidity = build_humidity_network(DEFAULT_HUMIDITY, 1, column, column)
    device_model = build_device_network(DEFAULT_DEVICE, 1, 2)
    for model, configuration in ((humidity, DEFAULT_HUMIDITY), (device_model, DEFAULT_DEVICE)):
        schedule = keras.optimizers.schedules.deserialize(model.optimizer.get_config()["learning_rate"])
        for step in (0, 7, 500):
            expected = configuration.learning_rate * configuration.decay_rate ** (step / configuration.decay_steps)
            assert float(schedule(step)) == pytest.approx(expected, rel=1e-5)
        assert type(model.optimizer) is keras.optimizers.Adam
    assert type(humidity.loss) is keras.losses.MeanSquaredError
    assert type(device_model.loss) is keras.losses.SparseCategoricalCrossentropy


def test_names_do_not_count_through_the_process() -> None:
    first, second = (build_device_network(DEFAULT_DEVICE, 1, 3).get_config() for _ in range(2))
    assert [layer["name"] for layer in first["layers"]] == [layer["name"] for layer in second["layers"]]
    assert first == second


# --- fit

FRESH_PROCESS = """
import sys
sys.path.insert(0, {tests!r})
from test_training import DEVICE, HUMIDITY, SHORT, night, rows_of, train, weights_digest
for task in (DEVICE, HUMIDITY):
    print(weights_digest(train(rows_of(night()), SHORT[task]).model))
"""


def test_training_repeats_bit_for_bit_here_and_in_a_fresh_process(tmp_path: Path) -> None:
    rows = rows_of(night())
    first = {task: train(rows, SHORT[task]) for task in (HUMIDITY, DEVICE)}
    other = train(rows, SHORT[HUMIDITY].with_seed(1))
    again = {task: train(rows, SHORT[task]) for task in (HUMIDITY, DEVICE)}
    for task in (HUMIDITY, DEVICE):
        assert weights_digest(first[task].model) == weights_digest(again[task].model)
        assert first[task].history == again[task].history
        assert first[task].metrics == again[task].metrics
        paths = tmp_path / f"{task}-1.keras", tmp_path / f"{task}-2.keras"
        for trained, path in zip((first[task], again[task]), paths, strict=True):
            save(trained.model, path)
        assert read_model_file(paths[0].read_bytes()).digest == read_model_file(paths[1].read_bytes()).digest
    assert weights_digest(other.model) != weights_digest(first[HUMIDITY].model)

    done = run_python(FRESH_PROCESS.format(tests=str(Path(__file__).parent)))
    assert done.stdout.split() == [weights_digest(first[task].model) for task in (DEVICE, HUMIDITY)], done.stderr
    assert done.stderr == "", "TensorFlow is to be quiet"


def test_a_changed_reading_changes_the_weights() -> None:
    rows = rows_of(night())
    changed = replace(rows, humidity=rows.humidity + (np.arange(len(rows)) == 700))
    assert weights_digest(train(rows, SHORT[HUMIDITY]).model) != weights_digest(train(changed, SHORT[HUMIDITY]).model)


def test_training_stops_early_and_keeps_its_best_epoch() -> None:
    trained = train(rows_of(night()), replace(DEFAULT_HUMIDITY, patience=1))
    losses = trained.history["val_loss"]
    assert trained.metrics["epochs"] == len(losses) < DEFAULT_HUMIDITY.epochs
    assert losses[-1] > min(losses)
    assert trained.metrics["validation_rmse"] ** 2 == pytest.approx(min(losses), rel=1e-4)
    assert trained.metrics["validation_mae"] < trained.metrics["validation_rmse"]
    assert (trained.metrics["training_rows"], trained.metrics["validation_rows"]) == (1344, 336)
    assert trained.labels == ()


def test_more_than_two_devices_are_told_apart() -> None:
    sensors = simulate(MIDNIGHT, 0)
    shifted = Measurements(sensors["A"].measured_at, sensors["A"].temperature, sensors["A"].humidity - 9_00)
    rows = rows_of({device(9): sensors["B"], device(4): sensors["A"], device(7): shifted})
    trained = train(rows, replace(DEFAULT_DEVICE, epochs=12))
    assert trained.labels == (device(4), device(7), device(9))
    probabilities = predict_device(trained.model, shifted.temperature / HUNDREDTHS, shifted.humidity / HUNDREDTHS)
    assert probabilities.shape == (840, 3)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == 1) > 0.95


def test_one_device_cannot_be_told_apart() -> None:
    with pytest.raises(InputError, match="at least two"):
        train(rows_of({device(1): simulate(MIDNIGHT, 0)["A"]}), SHORT[DEVICE])


# --- files


def test_a_file_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    model = build_device_network(DEFAULT_DEVICE, 1, 2)
    good = tmp_path / "good.keras"
    save(model, good)
    assert weights_digest(load(good)) == weights_digest(model)

    (tmp_path / "cut.keras").write_bytes(good.read_bytes()[:-200])
    (tmp_path / "text.keras").write_text("not a model")
    for name in ("cut.keras", "text.keras", "missing.keras"):
        with pytest.raises(ManifestError):
            load(tmp_path / name)


def test_a_file_that_brings_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "code.keras"
    source = keras.Input((1,))
    keras.Model(source, keras.layers.Lambda(lambda tensor: tensor + 1)(source)).save(path)
    with pytest.raises(ManifestError):
        load(path)


def test_predicting_nothing_gives_nothing() -> None:
    column = np.ones((4, 1), dtype=np.float32)
    assert predict_humidity(build_humidity_network(DEFAULT_HUMIDITY, 1, column, column), np.zeros(0)).shape == (0,)
    assert predict_device(build_device_network(DEFAULT_DEVICE, 1, 3), np.zeros(0), np.zeros(0)).shape == (0, 3)


# --- the paper's experiments


def test_validity_the_chain_model_learns_the_law_and_the_direct_one_what_attackers_say(tmp_path: Path) -> None:
    legal = night()
    temperature, humidity = false_measurements(350, seed=0)
    claimed = Measurements.of(MIDNIGHT + 60 * np.arange(350), temperature, humidity)
    temperatures = list(PAPER_POINTS)
    steps: list[str] = []
    result = run_validity(
        chain=rows_of(legal),
        direct=rows_of({**legal, device(3): claimed}),
        held_out=rows_of(night(seed=1000, start=MIDNIGHT + 86_400)),
        temperatures=temperatures,
        configuration=DEFAULT_HUMIDITY,
        seeds=(0, 1),
        on_step=steps.append,
        folder=tmp_path,
    )
    clean = law(np.array(temperatures))
    assert np.abs(result.chain.predictions - clean).max() < 1.0
    attacked = [temperatures.index(28.3), temperatures.index(27.7)]
    assert np.abs(result.direct.predictions - clean)[:, attacked].min() > 7.0
    assert result.chain.mae.max() < 1.5 < 3.0 < result.direct.mae.min()
    assert (result.chain.rmse >= result.chain.mae).all()
    assert result.chain.prediction.mean.shape == result.direct.prediction.deviation.shape == (5,)
    assert result.chain.mean_absolute_error.mean == pytest.approx(result.chain.mae.mean())
    assert steps == [f"{name} model, seed {seed}" for name in ("chain", "direct") for seed in (0, 1)]
    kept = predict_humidity(result.trained.model, np.array(temperatures))
    assert np.array_equal(kept, result.chain.predictions[0])


def test_a_spread_is_the_sample_standard_deviation() -> None:
    spread = Spread.over_seeds(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert spread.mean.tolist() == [2.0, 5.0]
    assert spread.deviation.tolist() == [pytest.approx(2**0.5), 0.0]


@pytest.mark.parametrize(("seeds", "held_out"), [((0,), 10), ((), 10), ((0, 1), 0)])
def test_validity_needs_two_seeds_and_held_out_rows(tmp_path: Path, seeds: tuple[int, ...], held_out: int) -> None:
    rows = rows_of(night())
    few = rows.take(np.arange(held_out))
    with pytest.raises(InputError):
        run_validity(rows, rows, few, [28.3], SHORT[HUMIDITY], seeds, on_step=lambda _: None, folder=tmp_path)


def test_traceability_comes_out_as_in_the_paper_and_less_so_in_time() -> None:
    steps: list[str] = []
    result = run_traceability(rows_of(night()), DEFAULT_DEVICE.with_seed(2), steps.append)
    assert result.accuracy * 100 == pytest.approx(92.4, abs=2)
    assert result.chronological_accuracy < result.accuracy - 0.05
    for trained in (result.shuffled, result.chronological):
        assert_history_is_figure_4(trained)
    assert steps == ["device model, shuffled split", "device model, chronological split"]


def assert_history_is_figure_4(trained: Trained) -> None:
    assert set(trained.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert {len(values) for values in trained.history.values()} == {30}
    assert trained.history["accuracy"][-1] > trained.history["accuracy"][0]
    assert trained.metrics["validation_accuracy"] == pytest.approx(trained.history["val_accuracy"][-1])
    assert trained.metrics["epochs"] == 30
