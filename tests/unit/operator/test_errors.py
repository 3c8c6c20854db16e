"""What kind of failure an answer is."""

import pytest

from condorpool_operator.errors import ApiError

AUTHORIZER = (
    'services is forbidden: User "system:serviceaccount:a:b" cannot patch resource "services" in the namespace "x"'
)
ADMISSION = 'services "demo" is forbidden: exceeded quota: few, requested: count/services=1, used: 5, limited: 5'


@pytest.mark.parametrize(
    ("status", "message", "forbidden"), [(403, AUTHORIZER, True), (403, ADMISSION, False), (409, AUTHORIZER, False)]
)
def test_a_missing_right_is_told_from_a_refusal(status: int, message: str, forbidden: bool) -> None:
    assert ApiError(status, "Forbidden", message).forbidden is forbidden


@pytest.mark.parametrize(
    ("status", "retryable"), [(0, True), (409, True), (429, True), (500, True), (503, True), (403, False), (422, False)]
)
def test_what_may_succeed_later(status: int, retryable: bool) -> None:
    assert ApiError(status, "Reason", "message").retryable is retryable


def test_an_unknown_field_in_a_typed_patch_is_a_refusal_though_its_code_is_500() -> None:
    assert not ApiError(500, "InternalError", "failed to create typed patch object").retryable
