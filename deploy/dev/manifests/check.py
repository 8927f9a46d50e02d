"""check.py TOOLS RENDERED: what is wrong with the rendered manifests, docker-compose.yml, Dockerfile and unit; first
it plants mistakes and sees that each is found. Exit status 1 where something is wrong."""

import copy
import re
import sys
from pathlib import Path

import pods
import wiring
import yaml
from mistakes import MISTAKES
from rendering import PREFIX, Facts, Rendering, named
from schemas import Schemas

ROOT = Path(__file__).resolve().parents[3]


def complaints(rendering: Rendering, facts: Facts, schemas: Schemas) -> list[str]:
    """Shapes first: the rules rely on them."""
    misshapen = [f"{named(one)} {text}" for one in rendering.documents for text in schemas.complaints(one)]
    return misshapen or [text for rule in pods.RULES + wiring.RULES for text in rule(rendering, facts)]


def missed(renderings: dict, facts: Facts, schemas: Schemas) -> list[str]:
    """The planted mistakes that nothing was said about."""
    silent = []
    for where, what, plant, expected in MISTAKES:
        rendering = copy.deepcopy(renderings[where])
        plant(rendering)
        said = complaints(rendering, facts, schemas)
        if not any(expected in text for text in said):
            silent.append(f"a planted mistake was not found: {what}; instead: {said or 'nothing'}")
    return silent


def of_others(facts: Facts, schemas: Schemas) -> list[str]:
    """docker-compose.yml, and settings that other files name."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    found = [f"docker-compose.yml {text}" for text in schemas.compose(compose)]
    broken = copy.deepcopy(compose)
    broken["services"]["worker"]["depend_on"] = []
    if not schemas.compose(broken):
        found.append("a planted mistake was not found: docker-compose.yml with a field that is none")
    units = sorted(str(unit.relative_to(ROOT)) for unit in (ROOT / "deploy/systemd").glob("*.service"))
    for name in ("docker-compose.yml", "deploy/Dockerfile", "deploy/README.md", *units):
        for setting in re.findall(rf"{PREFIX}(\w+__\w+)", (ROOT / name).read_text()):
            if not setting.endswith("_") and not wiring.is_setting(setting, facts):
                found.append(f"{name}: {PREFIX}{setting} is no setting")
    return found


def main() -> int:
    tools, rendered = map(Path, sys.argv[1:])
    facts, schemas = Facts.of(ROOT), Schemas(tools)
    renderings = {file.stem: Rendering.read(file) for file in sorted(rendered.glob("*.yaml"))}
    wrong = [f"{name}: {text}" for name, one in renderings.items() for text in complaints(one, facts, schemas)]
    wrong += of_others(facts, schemas)
    # A mistake can only be told from what was wrong before where nothing was.
    wrong += missed(renderings, facts, schemas) if not wrong else []
    for text in wrong:
        print(f"manifests: {text}", file=sys.stderr)
    if wrong:
        return 1
    documents = sum(len(one.documents) for one in renderings.values())
    print(f"manifests: {documents} documents are right; {len(MISTAKES)} planted mistakes were found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
