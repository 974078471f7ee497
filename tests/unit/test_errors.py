from __future__ import annotations

import json
from importlib import resources

from sensetrail import errors
from sensetrail.errors import ContractError, SensetrailError

PREFIXES = ("SensorRegistry", "ModelRegistry")


def all_subclasses(root: type[SensetrailError]) -> list[type[SensetrailError]]:
    return [each for child in root.__subclasses__() for each in (child, *all_subclasses(child))]


def test_every_custom_error_has_its_class_and_every_class_its_error() -> None:
    names = []
    for registry in PREFIXES:
        artifact = json.loads(resources.files("sensetrail.chain").joinpath(f"artifacts/{registry}.json").read_text())
        names += [entry["name"] for entry in artifact["abi"] if entry["type"] == "error"]
    ours = [name for name in names if name.startswith(PREFIXES)]
    assert len(ours) == len(set(ours)) > 10
    classes = [each.__name__ for each in all_subclasses(ContractError) if each.__name__.startswith(PREFIXES)]
    assert sorted(classes) == sorted(f"{name}Error" for name in ours)
    assert "AccessControlUnauthorizedAccount" in names
    assert issubclass(errors.AccessControlUnauthorizedAccountError, ContractError)


def test_every_contract_error_says_what_to_do() -> None:
    for each in all_subclasses(ContractError):
        assert issubclass(each, ContractError)
        assert each.to_do_by_default != ContractError.to_do_by_default
        error = each("what is wrong", arguments={"device": "0x"})
        assert (error.what, error.to_do, error.arguments) == (str(error), each.to_do_by_default, {"device": "0x"})
    assert ContractError("what", "do this").to_do == "do this"


def test_exit_codes_are_the_documented_ones() -> None:
    assert errors.__doc__ is not None
    documented = {
        line.strip("|`- ").split()[0]: int(line.split()[2])
        for line in errors.__doc__.splitlines()
        if line.startswith(("|-- ", "`-- "))
    }
    branches = SensetrailError.__subclasses__()
    assert {branch.__name__: branch.exit_code for branch in branches} == documented
    for branch in branches:
        assert {each.exit_code for each in all_subclasses(branch)} <= {branch.exit_code}


def test_every_error_stands_in_the_drawing() -> None:
    assert errors.__doc__ is not None
    contract_errors = set(all_subclasses(ContractError))
    for each in all_subclasses(SensetrailError):
        if each.__module__ == errors.__name__ and each not in contract_errors:
            assert f" {each.__name__}" in errors.__doc__, each
