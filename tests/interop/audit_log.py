"""Computes an export of the audit log again by its documentation, with hashlib and json and no code of ours.

Usage: audit_log.py EXPORT
"""

import hashlib
import json
import sys


def digest(block):
    head = f"mf.audit_block.v1\n{block['seq']}\n{block['at']}\n{block['previous']}\n"
    return hashlib.sha256(head.encode() + block["body"].encode()).hexdigest()


def follow(lines):
    """The last block's number and digest; an AssertionError where the chain breaks."""
    seq, previous = 0, "0" * 64
    for line in lines:
        block = json.loads(line)
        assert block["seq"] == seq + 1, f"block {block['seq']} follows {seq}"
        assert block["previous"] == previous, f"block {block['seq']} does not follow the block before it"
        assert block["digest"] == digest(block), f"block {block['seq']} was changed"
        body = json.loads(block["body"])
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        assert block["body"] == canonical, f"block {block['seq']} is not canonical JSON"
        assert body["acts"] and all(act["actor"]["name"] for act in body["acts"]), block["seq"]
        seq, previous = block["seq"], block["digest"]
    return {"seq": seq, "digest": previous}


def main():
    with open(sys.argv[1], encoding="utf-8") as export:
        *blocks, ending = export.read().splitlines()
    head = follow(blocks)
    assert json.loads(ending)["head"] == head, f"the last line says {ending}"
    assert head["seq"] > 1, "an export with some blocks was expected"
    # Changed exports must be found, or this script checks nothing.
    changed = [blocks[0].replace("operator", "requester"), *blocks[1:]]
    for broken in (changed, blocks[1:], [blocks[1], blocks[0], *blocks[2:]]):
        try:
            follow(broken)
        except AssertionError:
            continue
        raise SystemExit("a broken chain was not noticed")
    print(f"audit log: {len(blocks)} blocks computed again, head {head['seq']}:{head['digest'][:12]}…")


main()
