"""A CondorPool as the rest of the operator sees it: identity and validated spec."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationError

from .api.v1alpha1 import CondorPoolSpec
from .errors import PoolInvalidError

PoolKey = tuple[str, str]
"""Namespace and name of a CondorPool."""


@dataclass(frozen=True)
class Pool:
    """One CondorPool at one generation."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: CondorPoolSpec

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Self:
        """Return the pool in a CondorPool object; raise PoolInvalidError where the spec does not hold."""
        meta = obj["metadata"]
        try:
            spec = CondorPoolSpec.model_validate(obj.get("spec") or {})
        except ValidationError as error:
            raise PoolInvalidError(describe(error)) from None
        return cls(meta["name"], meta["namespace"], meta["uid"], meta["generation"], spec)


def describe(error: ValidationError) -> str:
    """Return the findings of a validation as "spec.path: what is wrong", without the values, which may be long or secret."""
    return "; ".join(
        f"{_path(item['loc'])}: {item['msg']}" for item in error.errors(include_input=False, include_url=False)
    )


def _path(location: tuple[int | str, ...]) -> str:
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
