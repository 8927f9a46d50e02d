"""Which metrics and labels an expression names; whether it is one at all is promtool's to say."""

import re
from dataclasses import dataclass, field

TOKENS = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<range>\[[^]]*\])|(?P<number>\d[\w.]*)"""
    r"""|(?P<name>[a-zA-Z_:][\w:]*)|(?P<sign>=~|!~|!=|[^\s])"""
)
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclass
class Named:
    """A metric with its matchers: label, operator, value."""

    metric: str
    matchers: list[tuple[str, str, str]] = field(default_factory=list)


def names(expression: str) -> tuple[list[Named], set[str]]:
    """The metrics of an expression, and the labels that it groups and joins by."""
    tokens = [(one.lastgroup, one.group()) for one in TOKENS.finditer(expression)]
    tokens.append(("end", ""))
    metrics, grouping = [], set()
    at = 0
    while at < len(tokens) - 1:
        kind, text = tokens[at]
        at += 1
        if kind == "sign" and text == "{":
            # The name may stand in there: {__name__="up"}.
            at, matchers = _matchers(tokens, at)
            metrics.append(Named("", matchers))
        elif kind == "name" and text in GROUPING:
            while tokens[at][1] not in (")", ""):
                if tokens[at][0] == "name":
                    grouping.add(tokens[at][1])
                at += 1
        elif kind == "name" and text.lower() not in WORDS and tokens[at][1] != "(" and not _aggregates(tokens, at):
            one = Named(text)
            if tokens[at][1] == "{":
                at, one.matchers = _matchers(tokens, at + 1)
            metrics.append(one)
    return metrics, grouping


def _aggregates(tokens: list, at: int) -> bool:
    """`sum by (…)`: the operator's name stands before its grouping."""
    return tokens[at][1] in ("by", "without")


def _matchers(tokens: list, at: int) -> tuple[int, list[tuple[str, str, str]]]:
    matchers = []
    while tokens[at][1] not in ("}", ""):
        if tokens[at][0] == "name":
            matchers.append((tokens[at][1], tokens[at + 1][1], tokens[at + 2][1][1:-1]))
            at += 2
        at += 1
    return at + 1, matchers
