"""Verifies a captured request with an implementation of RFC 9421 that is not ours.

Reads {"method", "url", "headers", "body_hex", "key_id", "key_hex"} from standard input, prints the covered components
as JSON, or "refused" with exit code 1.
"""

import json
import sys

from http_message_signatures import HTTPMessageVerifier, algorithms
from http_message_signatures.exceptions import HTTPMessageSignaturesException
from http_message_signatures.resolvers import MappingKeyResolver

captured = json.load(sys.stdin)


class Message:
    method = captured["method"]
    url = captured["url"]
    headers = {name.title(): value for name, value in captured["headers"]}


keys = {captured["key_id"]: bytes.fromhex(captured["key_hex"])}
verifier = HTTPMessageVerifier(
    signature_algorithm=algorithms.HMAC_SHA256,
    key_resolver=MappingKeyResolver(public_keys=keys, private_keys={}),
)
try:
    (result,) = verifier.verify(Message, expect_tag="bytec-edge-v1", body=bytes.fromhex(captured["body_hex"]))
except HTTPMessageSignaturesException:
    print("refused")
    sys.exit(1)
print(json.dumps([str(component) for component in result.covered_components]))
