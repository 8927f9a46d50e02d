"""Whether an expression names only metrics, labels and values that there are."""

import re

from documented import TARGET, Labels
from promql import names


def complaints(where: str, expression: str, known: dict[str, Labels]) -> list[str]:
    metrics, grouping = names(expression)
    found, there = [], set(TARGET)
    for one in metrics:
        if one.metric not in known:
            found.append(f"{where}: there is no metric {one.metric or 'without a name'}")
            continue
        labels = known[one.metric]
        there |= set(labels)
        for label, operator, value in one.matchers:
            if label not in labels and label not in TARGET:
                found.append(f"{where}: {one.metric} has no label {label}")
            elif labels.get(label) and not _may_match(operator, value, labels[label]):
                found.append(f"{where}: {label} of {one.metric} is never {value}")
    found += [f"{where}: no metric in it has the label {label}" for label in sorted(grouping - there)]
    return found


def _may_match(operator: str, value: str, values: set[str]) -> bool:
    """A misspelt value in a `!=` is a mistake as well, and so is one of several in a pattern."""
    if operator in ("=", "!="):
        return value in values
    return all(any(re.fullmatch(pattern, one) for one in values) for pattern in value.split("|"))
