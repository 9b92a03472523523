from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.space.unit import from_unit, levels, to_unit

pytestmark = pytest.mark.filterwarnings("ignore:The distribution is specified by")
few = settings(max_examples=100, deadline=None)


@st.composite
def distributions(draw: st.DrawFn) -> BaseDistribution:
    kind = draw(st.sampled_from(["float", "log", "step", "int", "intlog", "intstep", "choice"]))
    if kind == "choice":
        values = st.one_of(st.text(max_size=3), st.integers(-5, 5), st.none())
        return CategoricalDistribution(draw(st.lists(values, min_size=1, max_size=6, unique=True)))
    if kind.startswith("int"):
        low = draw(st.integers(1 if kind == "intlog" else -500, 500))
        high = low + draw(st.integers(0, 3000))
        step = draw(st.integers(1, 70)) if kind == "intstep" else 1
        return IntDistribution(low, high, log=kind == "intlog", step=step)
    if kind == "log":
        low = 10.0 ** draw(st.floats(-9, 3))
        return FloatDistribution(low, low * 10.0 ** draw(st.floats(0, 6)), log=True)
    low = draw(st.floats(-1e6, 1e6))
    width = draw(st.floats(0, 1e6))
    if kind == "step":
        low = round(low, 3)
        return FloatDistribution(low, low + 40 * 0.05, step=draw(st.sampled_from([0.05, 0.1, 0.7])))
    return FloatDistribution(low, low + width)


@few
@given(distributions(), st.floats(allow_nan=False))
def test_any_number_decodes_to_a_value_inside(dist: BaseDistribution, unit: float) -> None:
    value = from_unit(dist, unit)
    assert dist._contains(dist.to_internal_repr(value))
    assert 0.0 <= to_unit(dist, value) <= 1.0


@few
@given(distributions(), st.floats(0, 1))
def test_a_decoded_value_survives_the_round_trip_exactly(
    dist: BaseDistribution, unit: float
) -> None:
    value = from_unit(dist, unit)
    again = from_unit(dist, to_unit(dist, value))
    assert again == value
    assert type(again) is type(value)


@few
@given(distributions())
def test_each_level_is_reached_and_is_its_own_round_trip(dist: BaseDistribution) -> None:
    count = levels(dist)
    if count is None or count > 200 or getattr(dist, "log", False):
        return
    values = [from_unit(dist, (k + 0.5) / count) for k in range(count)]
    assert len(set(map(repr, values))) == count
    assert [from_unit(dist, to_unit(dist, v)) for v in values] == values


def test_every_log_int_is_its_own_round_trip() -> None:
    dist = IntDistribution(1, 300, log=True)
    assert [from_unit(dist, to_unit(dist, v)) for v in range(1, 301)] == list(range(1, 301))


@pytest.mark.parametrize("value", [1e-4, 3e-4, 0.0123, 1e-2])
def test_typed_in_values_come_back_as_typed(value: float) -> None:
    log = FloatDistribution(1e-5, 1e-1, log=True)
    plain = FloatDistribution(0.0, 0.7)
    assert from_unit(log, to_unit(log, value)) == value
    assert from_unit(plain, to_unit(plain, value)) == value


def test_steps_come_without_rounding_noise() -> None:
    dist = FloatDistribution(0.0, 0.5, step=0.1)
    assert [from_unit(dist, (k + 0.5) / 6) for k in range(6)] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_ends_are_exact_and_outside_is_the_nearer_end() -> None:
    dist = FloatDistribution(1 / 3, 2 / 3)
    assert (from_unit(dist, 0.0), from_unit(dist, 1.0)) == (1 / 3, 2 / 3)
    assert (from_unit(dist, -math.inf), from_unit(dist, 7)) == (1 / 3, 2 / 3)
    assert (to_unit(dist, -9), to_unit(dist, math.inf)) == (0.0, 1.0)


@pytest.mark.parametrize(
    "dist", [FloatDistribution(0, 1), IntDistribution(0, 3), CategoricalDistribution(["a", "b"])]
)
def test_nan_is_refused(dist: BaseDistribution) -> None:
    with pytest.raises(ValueError, match=r"NaN|nan"):
        from_unit(dist, math.nan)
    with pytest.raises(ValueError, match="nan"):
        to_unit(dist, math.nan)


def test_ends_too_near_for_logarithms_are_still_two() -> None:
    dist = FloatDistribution(10.0, 10.000000000000004, log=True)
    assert math.log(dist.low) == math.log(dist.high)
    assert [to_unit(dist, from_unit(dist, u)) for u in (0.0, 0.3, 0.7, 1.0)] == [0, 0, 1, 1]
    assert (from_unit(dist, 0.3), from_unit(dist, 0.7)) == (dist.low, dist.high)


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="'c' not in"):
        to_unit(CategoricalDistribution(["a", "b"]), "c")


def test_log_middles_are_geometric() -> None:
    assert from_unit(FloatDistribution(1e-4, 1e-2, log=True), 0.5) == pytest.approx(1e-3)
