"""An independent witness for the signature schemes and the time and money rules.

Written from the written specification only (the sections on signing and
"Times" of docs/api.md), never from the Rust code it is compared with. It must
stay that way: two programs that share an author's reading, a helper or a copied
expression also share its mistakes, and then their agreement proves nothing. If
the two differ, decide by the specification which one is wrong; where the
specification is silent, complete it first. Never make this file agree by
copying what the other side does.

Protocol: one JSON object per line on standard input, one JSON object per line on
standard output, in the same order, {"ok": ...} or {"error": "<code>"}. A question
that cannot be understood gets the error "witness_failure" with a "detail", so
that one bad question cannot shift all later answers by a line.

Standard library only; Python 3.11. The package tzdata is used if it is installed.
"""

import base64
import hashlib
import hmac
import json
import math
import re
import sys
import unicodedata
import zoneinfo
from datetime import datetime, timedelta, timezone

try:
    # The zone rules of the machine would make answers differ between machines;
    # with the package installed, only the package counts.
    import tzdata  # noqa: F401

    zoneinfo.reset_tzpath(to=())
except ImportError:
    pass


class Refused(Exception):
    """The specification refuses this input; the argument is the error code."""


# ---------------------------------------------------------------- primitives


def hmac_sha256(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def b64(raw):
    return base64.b64encode(raw).decode("ascii")


def b64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def body_of(question):
    return base64.b64decode(question["body_b64"], validate=True)


# ----------------------------------------------------------- canonical query

BROKEN_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
UNRESERVED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)


def decode_text(raw):
    """Decode one name or one value; the order of the checks is part of the rules."""
    raw = raw.replace(b"+", b" ")  # before the escapes, so that %2B stays a plus
    if BROKEN_PERCENT.search(raw):
        raise Refused("bad_percent")
    raw = ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("bad_utf8") from None
    # U+FFFD is what a lossy decoder upstream leaves behind: the sender's bytes are gone.
    if "\ufffd" in text:
        raise Refused("bad_utf8")
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise Refused("control_char")
    return text


def encode_text(text):
    return "".join(
        chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in text.encode("utf-8")
    )


def canonical_query(query):
    # A lone surrogate cannot stand in a real request; passed on as its three bytes
    # it is refused as bad_utf8 below instead of breaking this program.
    pieces = query.encode("utf-8", "surrogatepass").split(b"&")
    pairs = []
    for piece in pieces:
        if not piece:
            continue
        name, _, value = piece.partition(b"=")
        pairs.append((decode_text(name), decode_text(value)))
    # Dropped only now: a broken _sig is still refused, and _sig is never a duplicate.
    pairs = [(name, value) for name, value in pairs if name != "_sig"]
    if len({name for name, _ in pairs}) != len(pairs):
        raise Refused("duplicate_param")
    encoded = [(encode_text(name), encode_text(value)) for name, value in pairs]
    # Sorted before joining: "=" would otherwise sort after "-", "." and "%".
    encoded.sort(key=lambda pair: pair[0])
    return "&".join(f"{name}={value}" for name, value in encoded)


# --------------------------------------------------------- RFC 8785 (JCS)

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 8
MAX_MEMBERS = 64

JSON_SPACE = re.compile(r"[ \t\n\r]*")
JSON_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][+-]?[0-9]+)?")
JSON_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
JSON_HEX4 = re.compile(r"[0-9A-Fa-f]{4}")
JSON_ESCAPES = {
    '"': '"', "\\": "\\", "/": "/",
    "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}


class StrictJson:
    """RFC 8259 and the extra refusals of docs/api.md (JCS profile).

    Python's json module is laxer (NaN, lone surrogates, the last of two equal
    names wins) and does not show whether a number was written as an integer.
    """

    def __init__(self, text):
        self.text = text
        self.at = 0

    def refuse(self):
        raise Refused("jcs_refused")

    def peek(self):
        return self.text[self.at : self.at + 1]

    def skip_space(self):
        self.at = JSON_SPACE.match(self.text, self.at).end()

    def take(self, expected):
        if not self.text.startswith(expected, self.at):
            self.refuse()
        self.at += len(expected)

    def document(self):
        self.skip_space()
        if self.peek() != "{":
            self.refuse()
        value = self.value(1)
        self.skip_space()
        if self.at != len(self.text):
            self.refuse()
        return value

    def value(self, depth):
        """`depth` is the depth that a container starting here would have."""
        first = self.peek()
        if first == "{":
            return self.members(depth)
        if first == "[":
            return self.elements(depth)
        if first == '"':
            return self.string()
        for word, value in (("true", True), ("false", False), ("null", None)):
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
        return self.number()

    def members(self, depth):
        if depth > MAX_DEPTH:
            self.refuse()
        self.take("{")
        self.skip_space()
        members = {}
        if self.peek() == "}":
            self.at += 1
            return members
        while True:
            self.skip_space()
            name = self.string()
            if name in members:
                self.refuse()
            self.skip_space()
            self.take(":")
            self.skip_space()
            members[name] = self.value(depth + 1)
            if len(members) > MAX_MEMBERS:
                self.refuse()
            self.skip_space()
            if self.peek() == "}":
                self.at += 1
                return members
            self.take(",")

    def elements(self, depth):
        if depth > MAX_DEPTH:
            self.refuse()
        self.take("[")
        self.skip_space()
        elements = []
        if self.peek() == "]":
            self.at += 1
            return elements
        while True:
            self.skip_space()
            elements.append(self.value(depth + 1))
            self.skip_space()
            if self.peek() == "]":
                self.at += 1
                return elements
            self.take(",")

    def number(self):
        found = JSON_NUMBER.match(self.text, self.at)
        if not found:
            self.refuse()
        self.at = found.end()
        integer, fraction, exponent = found.groups()
        if fraction is None and exponent is None:
            # The length first: int() of a megabyte of digits is slow and limited.
            if len(integer.lstrip("-")) > 16 or abs(int(integer)) > MAX_SAFE_INTEGER:
                self.refuse()
        number = float(found[0])
        if not math.isfinite(number):
            self.refuse()
        return number

    def code_unit(self):
        found = JSON_HEX4.match(self.text, self.at)
        if not found:
            self.refuse()
        self.at = found.end()
        return int(found[0], 16)

    def string(self):
        self.take('"')
        parts = []
        while True:
            plain = JSON_PLAIN.match(self.text, self.at)
            if plain:
                parts.append(plain[0])
                self.at = plain.end()
            if self.peek() == '"':
                self.at += 1
                return "".join(parts)
            # What is left is an escape, a raw control character or the end of the text.
            self.take("\\")
            escape = self.peek()
            self.at += 1
            if escape in JSON_ESCAPES:
                parts.append(JSON_ESCAPES[escape])
            elif escape == "u":
                unit = self.code_unit()
                if 0xD800 <= unit <= 0xDBFF:
                    self.take("\\u")
                    low = self.code_unit()
                    if not 0xDC00 <= low <= 0xDFFF:
                        self.refuse()
                    unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
                elif 0xDC00 <= unit <= 0xDFFF:
                    self.refuse()
                parts.append(chr(unit))
            else:
                self.refuse()


def es_number(number):
    """ECMAScript Number::toString for a finite double.

    repr() gives the same shortest digits as ECMAScript asks for, but lays them
    out by other rules; so only its digits and its exponent are used.
    """
    if number == 0:
        return "0"  # and so for -0
    if number < 0:
        return "-" + es_number(-number)
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    # The value is 0.<digits> * 10**point. ECMAScript calls this exponent n.
    point = len(whole) + int(exponent or "0")
    point -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    mantissa = digits if count == 1 else digits[0] + "." + digits[1:]
    return f"{mantissa}e{point - 1:+d}"


JCS_SPECIAL = re.compile(r'["\\\x00-\x1f]')
JCS_SHORT = {
    '"': '\\"', "\\": "\\\\",
    "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r",
}


def jcs_string(text):
    def escape(found):
        return JCS_SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}"

    return '"' + JCS_SPECIAL.sub(escape, text) + '"'


def jcs_text(value):
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, float):
        return es_number(value)
    if isinstance(value, str):
        return jcs_string(value)
    if isinstance(value, list):
        return "[" + ",".join(map(jcs_text, value)) + "]"
    # UTF-16 order differs from code point order above U+FFFF: an emoji (D83D...)
    # sorts before U+FB33.
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(f"{jcs_string(name)}:{jcs_text(value[name])}" for name in names) + "}"


def jcs(body):
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("jcs_refused") from None
    return jcs_text(StrictJson(text).document())


# ------------------------------------------------------------------ bytec-v1

PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def check_path(path):
    if not PATH.fullmatch(path) or not {".", ".."}.isdisjoint(path.split("/")):
        raise Refused("bad_path")


def bytec_v1(question):
    check_path(question["path"])
    query = canonical_query(question["query"])
    body = body_of(question)
    profile = question.get("profile")
    if profile == "jcs":
        body = jcs(body).encode("utf-8")
    elif profile is not None:
        raise ValueError(f"unknown profile {profile!r}")
    string_to_sign = "\n".join(
        (
            "bytec-v1",
            question["kid"],
            question["ts"],
            question["nonce"],
            question["method"],
            question["path"],
            query,
            hashlib.sha256(body).hexdigest(),
        )
    )
    mac = hmac_sha256(bytes.fromhex(question["key_hex"]), string_to_sign.encode("utf-8"))
    return {"string_to_sign": string_to_sign, "signature": "sha256=" + mac.hex()}


# ------------------------------------------------------------------ RFC 9421


def rfc9421(question):
    digest = "sha-256=:" + b64(hashlib.sha256(body_of(question)).digest()) + ":"
    components = [
        ("@method", question["method"]),
        ("@path", question["path"]),
        # RFC 9421 2.2.7: the question mark belongs to the value, also without a query.
        ("@query", "?" + question["query"]),
        ("content-digest", digest),
        ("bytec-event-id", question["event_id"]),
        ("bytec-received-at", question["received_at"]),
        ("bytec-auth", question["auth"]),
        ("bytec-client-ip", question["client_ip"]),
        ("bytec-original-target", question["original_target"]),
    ]
    created = question["created"]
    parameters = (
        "(" + " ".join(f'"{name}"' for name, _ in components) + ")"
        f";created={created};expires={created + 300}"
        f';nonce="{question["nonce"]}";alg="hmac-sha256"'
        f';keyid="{question["kid"]}";tag="bytec-edge-v1"'
    )
    # RFC 9421 2.1: spaces around a field's value do not belong to it.
    lines = [f'"{name}": ' + value.strip(" \t") for name, value in components]
    lines.append(f'"@signature-params": {parameters}')
    mac = hmac_sha256(bytes.fromhex(question["key_hex"]), "\n".join(lines).encode("utf-8"))
    return {
        "content_digest": digest,
        "signature_input": "sig1=" + parameters,
        "signature": f"sig1=:{b64(mac)}:",
    }


# ------------------------------------------------------------ acknowledgement


def ack(question):
    verdict = question["verdict"]
    message = "\n".join(("bytec-ack-v1", question["event_id"], verdict, question["nonce"]))
    mac = hmac_sha256(bytes.fromhex(question["key_hex"]), message.encode("utf-8"))
    return f"v1;verdict={verdict};kid={question['kid']};mac={b64url(mac)}"


# ---------------------------------------------------------------------- times

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def either_length(names):
    return "|".join(f"{name[:3]}|{name}" for name in names)


MONTH_WORD = either_length(MONTHS)


def day_month_year(layout, mark):
    # Python wants every group name once, so each layout numbers its own.
    return (
        rf"(?P<day{layout}>[0-9]{{1,2}}){mark}(?P<month{layout}>{MONTH_WORD})"
        rf"{mark}(?P<year{layout}>[0-9]{{4}})"
    )


# The table ends with "everything else is invalid_time". So letters count as they
# are shown, and only what its examples vary is varied here.
DATE = (
    r"(?:"
    r"(?P<year1>[0-9]{4})(?P<mark>[-/])(?P<month1>[0-9]{1,2})(?P=mark)(?P<day1>[0-9]{1,2})"
    rf"|(?:(?P<weekday>{either_length(WEEKDAYS)}), *)?"
    rf"(?:{day_month_year(2, ' +')}|{day_month_year(3, '-')}"
    rf"|(?P<month4>{MONTH_WORD}) +(?P<day4>[0-9]{{1,2}})(?:, *| +)(?P<year4>[0-9]{{4}}))"
    r")"
)
CLOCK = (
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?"
)
# An offset's "+" may have arrived as a space, and a space may stand before it.
ZONE = (
    r" ?(?:(?P<utc>Z|UTC|GMT)"
    r"|(?P<sign>[+-])(?P<off_hour>[0-9]{2})(?::?(?P<off_minute>[0-9]{2}))?)"
    r"|  ?(?P<lost_hour>[0-9]{2})(?::?(?P<lost_minute>[0-9]{2}))?"
)
TIME = re.compile(rf"{DATE}(?:(?:T| +|, *){CLOCK}(?:{ZONE})?)?")
EPOCH = re.compile(r"[0-9]{10}(?:[0-9]{3})?")

MONTH_NUMBERS = {
    name: number
    for number, month in enumerate(MONTHS, 1)
    for name in (month, month[:3])
}
EPOCH_START = datetime(1970, 1, 1, tzinfo=timezone.utc)
FIRST_YEAR, LAST_YEAR = 1970, 2099
MAX_OFFSET = timedelta(hours=14)


def invalid_time():
    return Refused("invalid_time")


def written_date(found):
    """Year, month and day of whichever of the four layouts matched."""
    for layout in "1234":
        if found["year" + layout] is not None:
            month = found["month" + layout]
            return (
                int(found["year" + layout]),
                MONTH_NUMBERS[month] if month in MONTH_NUMBERS else int(month),
                int(found["day" + layout]),
            )
    raise AssertionError("a matched time has a date")


def written_zone(found, zone):
    """The zone the clocks of this text are to be read in."""
    if found["utc"]:
        return timezone.utc
    hours = found["off_hour"] or found["lost_hour"]
    if hours is None:
        return zone
    minutes = int(found["off_minute"] or found["lost_minute"] or "0")
    offset = timedelta(hours=int(hours), minutes=minutes)
    if minutes > 59 or offset > MAX_OFFSET:
        raise invalid_time()
    return timezone(-offset if found["sign"] == "-" else offset)


def written_instant(text, zone):
    found = TIME.fullmatch(text)
    if not found:
        raise invalid_time()
    year, month, day = written_date(found)
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise invalid_time()
    fraction = found["fraction"] or ""
    try:
        local = datetime(
            year,
            month,
            day,
            int(found["hour"] or "0"),
            int(found["minute"] or "0"),
            int(found["second"] or "0"),
            int(fraction[:6].ljust(6, "0")),
        )
    except ValueError:
        raise invalid_time() from None
    weekday = found["weekday"]
    # A weekday that contradicts its date names two days, as 01/02/2025 does.
    if weekday and WEEKDAYS[local.weekday()][:3] != weekday[:3]:
        raise invalid_time()
    # fold=0 is the rule for both changes: the first showing of a repeated time, and
    # the offset before the change for a skipped one.
    return local.replace(tzinfo=written_zone(found, zone), fold=0).astimezone(timezone.utc)


def time(text, zone_name):
    zone = zoneinfo.ZoneInfo(zone_name)
    text = text.strip(" ")
    if EPOCH.fullmatch(text):
        # In milliseconds, because floating point seconds would not be exact.
        milliseconds = int(text) if len(text) == 13 else int(text) * 1000
        instant = EPOCH_START + timedelta(milliseconds=milliseconds)
    else:
        instant = written_instant(text, zone)
    if instant <= EPOCH_START or instant.year > LAST_YEAR:
        raise invalid_time()
    printed = instant.strftime("%Y-%m-%dT%H:%M:%S")
    if instant.microsecond:
        digits = f"{instant.microsecond:06d}"
        printed += "." + (digits[:3] if digits.endswith("000") else digits)
    return printed + "Z"


# --------------------------------------------------------------------- amounts

AMOUNT = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,6}))?")


def amount(text):
    found = AMOUNT.fullmatch(text)
    if not found:
        raise Refused("invalid_amount")
    sign, whole, fraction = found.groups()
    whole = whole.lstrip("0") or "0"
    fraction = (fraction or "").rstrip("0").ljust(2, "0")
    if whole == "0" and fraction == "00":
        sign = ""
    return f"{sign}{whole}.{fraction}"


# ------------------------------------------------------------------------- JWT


def jwt_hs256(key, header, claims):
    """Compact JWS. The header is used as given, so that a test can also make bad ones."""
    signed = ".".join(
        b64url(json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode("utf-8"))
        for part in (header, claims)
    )
    return signed + "." + b64url(hmac_sha256(key, signed.encode("ascii")))


# -------------------------------------------------------------------- protocol

ANSWERS = {
    "canonical_query": lambda q: canonical_query(q["query"]),
    "jcs": lambda q: jcs(body_of(q)),
    "bytec_v1": bytec_v1,
    "rfc9421": rfc9421,
    "ack": ack,
    "time": lambda q: time(q["text"], q["zone"]),
    "amount": lambda q: amount(q["text"]),
    "jwt_hs256": lambda q: jwt_hs256(bytes.fromhex(q["key_hex"]), q["header"], q["claims"]),
}


def answer(line):
    try:
        question = json.loads(line)
        return {"ok": ANSWERS[question["ask"]](question)}
    except Refused as refused:
        return {"error": refused.args[0]}
    except Exception as failure:  # see the module's text: one answer for every line
        return {"error": "witness_failure", "detail": repr(failure)}


def main():
    # Lines end at LF only, whatever other line separators the texts contain.
    answers = [json.dumps(answer(line)) + "\n" for line in sys.stdin.buffer]
    sys.stdout.write("".join(answers))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
