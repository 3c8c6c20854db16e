"""What every model of the API shares, and the checked scalar types.

Text that can reach a condor_config line, an sshd_config, a passwd line or a shell has one of the types below: no pattern admits a
newline or ``$(``. The patterns mean the same to the API server (RE2) and to pydantic (Rust's regex): ``$`` is the end of the text.
"""

from decimal import Decimal
from typing import Annotated, Any

from kubernetes.utils.quantity import parse_quantity
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A frozen object of the API: unknown fields are errors, names are camelCase outside, docstrings become descriptions."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return (CEL rule, message) pairs as the schema's ``x-kubernetes-validations``, for what one field cannot say alone."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


def list_map(key: str) -> dict[str, Any]:
    """Return what makes a list a map for the API server: unique keys, and merging by key."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def quantity(value: int | str) -> Decimal:
    """Return a Kubernetes quantity in its base unit: cores, bytes; ValueError where it is none."""
    return Decimal(parse_quantity(str(value)))


def _check_quantity(value: int | str) -> str:
    quantity(value)
    return str(value)


QUANTITY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,9})?([eE][0-9]{1,2}|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
INT_OR_STRING: dict[str, Any] = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
}

Quantity = Annotated[
    int | Annotated[str, Field(pattern=QUANTITY_PATTERN)],
    AfterValidator(_check_quantity),
    WithJsonSchema({**INT_OR_STRING, "pattern": QUANTITY_PATTERN, "maxLength": 32}),
]
"""A Kubernetes quantity that is not negative: 4, "500m", "8Gi"; text once validated."""

IntOrPercent = Annotated[
    Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^(100|[1-9][0-9]?)%$")],
    WithJsonSchema(
        {
            **INT_OR_STRING,
            "pattern": r"^(100|[1-9][0-9]?)%$",
            "maxLength": 4,
            **rules(("type(self) != int || int(self) >= 1", "must be at least 1, or a percentage from 1% to 100%")),
        }
    ),
]
"""A number of pods of at least 1, or a percentage of them from 1% to 100%."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
ConfigMapName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
QualifiedName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=316,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
    ),
]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")]

_UNIT_SECONDS = {"h": 3600, "m": 60, "s": 1}
DURATION_MAX_SECONDS = 8760 * 3600


def duration_seconds(text: str) -> int:
    """Return a Duration in seconds: "1h30m" is 5400."""
    total, digits = 0, ""
    for char in text:
        if char in _UNIT_SECONDS:
            total += int(digits) * _UNIT_SECONDS[char]
            digits = ""
        else:
            digits += char
    return total


def _check_duration(text: str) -> str:
    if not 1 <= duration_seconds(text) <= DURATION_MAX_SECONDS:
        raise ValueError("must be from 1s to 8760h")
    return text


Duration = Annotated[
    str,
    Field(
        min_length=2,
        max_length=20,
        pattern=r"^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$",
        json_schema_extra=rules(
            (
                "duration(self) >= duration('1s') && duration(self) <= duration('8760h')",
                "must be from 1s to 8760h, in hours, minutes and seconds such as 24h or 1h30m",
            )
        ),
    ),
    AfterValidator(_check_duration),
]
"""A span of time from a second to a year, in hours, minutes and seconds: 24h, 1h30m, 90s."""
