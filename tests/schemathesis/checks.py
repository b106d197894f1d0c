"""What schemathesis asks of each answer beside its own checks."""

import json
import re

import schemathesis

# Codes of what a schema cannot say, and why.
BEYOND_SCHEMAS = {
    "invalid_time": "a day that its month does not have",
    "time_in_future": "more than a day ahead of now",
    "invalid_range": "the end before the beginning, too much between them, no quarter of an hour",
    "amount_too_large": "more than amount_max of the partner's file",
    "negative_amount": "below zero where the event is neither refund nor chargeback",
    "invalid_amount": "a number in JSON that is written with an exponent or too many digits",
    "invalid_currency": "three letters that ISO 4217 does not have",
    "invalid_id": "128 bytes, while schemas count characters; a number that was rounded; a reserved beginning",
    "value_too_long": "1024 bytes, while schemas count characters",
    "name_too_long": "64 bytes, while schemas count characters",
    "macro_not_replaced": "a text that looks like a macro where a value is required",
    "control_char": "in what is nested under a name that means nothing",
    "bad_utf8": "a lone surrogate in JSON",
    "conflicting_values": "one field by two names",
    "duplicate_param": "one name in query and body, or twice",
    "unsupported_body": "a form that begins with a brace",
    "malformed_json": "a number that no double holds",
    "not_scalar": "a list where a value is meant, by a name in another case",
    "invalid_time_zone": "a name that is none of IANA's",
    "invalid_cursor": "a text that no page gave",
    "invalid_query": "a value that is too long for any parameter",
    "unknown_param": "parameters that are in no list",
}
HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}


def code_of(response):
    """The code of an error, in JSON or text."""
    text = response.text or ""
    found = re.match(r"ERROR (\w+) ", text)
    return found.group(1) if found else json.loads(text).get("error")


@schemathesis.check
def refused_for_what_no_schema_says(ctx, response, case):
    """Valid by the document and refused all the same: the code says what the document cannot."""
    if response.status_code != 400 or not case.meta or not case.meta.generation.mode.is_positive:
        return
    # Without a body there is no code; and in the stateful phase values are taken from earlier answers, whether they fit or not.
    if response.request.method == "HEAD" or case.meta.phase.name == "stateful":
        return
    code = code_of(response)
    assert code in BEYOND_SCHEMAS, f"{code} for a request that the document calls valid: {response.text}"


@schemathesis.check
def headers_of_every_answer(ctx, response, case):
    """Nobody keeps an answer, guesses at it or frames it."""
    for name, value in HEADERS.items():
        found = (response.headers.get(name) or [""])[0]
        assert found == value, f"{name}: {found!r} in place of {value!r}"
    assert "content-security-policy" in response.headers


@schemathesis.check
def nothing_of_the_inside(ctx, response, case):
    """No error tells how we are made."""
    if response.status_code < 400:
        return
    for word in ("panicked", "src/", ".rs:", "sqlx", "select ", "insert ", "Backtrace", "/root", "/home"):
        assert word not in (response.text or ""), f"{word!r} in {response.text}"
