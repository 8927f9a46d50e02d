"""Rules about what refers to what: settings, Secrets, topics, rights, scalers."""

import re
from urllib.parse import urlsplit

from rendering import PREFIX, Facts, Rendering, is_ours, named

# Settings that hold a secret themselves; manifests name files.
SECRETS = re.compile(r"(PASSWORD|SECRET_ACCESS_KEY|ACCESS_KEY|__KEY|TOKEN)$")


def names_are_taken_once(rendering: Rendering, _: Facts):
    seen = set()
    for one in rendering.documents:
        key = (named(one), one.get("metadata", {}).get("namespace"))
        if key in seen:
            yield f"{named(one)} is there twice"
        seen.add(key)


def settings_exist(rendering: Rendering, facts: Facts):
    names = {name for one in rendering.of("ConfigMap") for name in one.get("data", {})}
    for pod in rendering.pods():
        for container in filter(is_ours, pod.containers):
            names |= {one["name"] for one in container.get("env", [])}
    for name in sorted(names):
        if name.startswith(PREFIX) and not is_setting(name.removeprefix(PREFIX), facts):
            yield f"{name} is no setting"


def is_setting(name: str, facts: Facts) -> bool:
    return name in facts.settings or name.startswith(("KAFKA__PROPERTIES__", "TRAINER__COMMANDS__"))


def secrets_stay_in_secrets(rendering: Rendering, _: Facts):
    pairs = [pair for one in rendering.of("ConfigMap") for pair in one.get("data", {}).items()]
    pairs += [
        (one["name"], one.get("value", ""))
        for pod in rendering.pods()
        for container in pod.containers
        for one in container.get("env", [])
    ]
    for name, value in pairs:
        if SECRETS.search(name) and value or "://" in value and urlsplit(value).password:
            yield f"{name} holds a secret"
    for one in rendering.of("Secret"):
        yield f"{named(one)} is in the manifests"


def servers_are_verified(rendering: Rendering, facts: Facts):
    """Only what stands in the same rendering, on a network that is closed, is spoken to in the clear."""
    if not rendering.pods():
        return
    services = {one["metadata"]["name"] for one in rendering.of("Service")}
    settings = facts.settings | rendering.settings()
    for broker in settings["KAFKA__BROKERS"].split(","):
        protocol = settings["KAFKA__SECURITY__PROTOCOL"]
        if broker.rpartition(":")[0] not in services and protocol not in ("ssl", "sasl_ssl"):
            yield f"{broker} is spoken to by {protocol or 'plaintext'}"
    urls = [settings["LEDGER__URL"]]
    for pod in rendering.pods():
        for container in filter(is_ours, pod.containers):
            urls.append(rendering.environment(container).get(f"{PREFIX}LEDGER__URL", settings["LEDGER__URL"]))
    for url in set(urls):
        if urlsplit(url).hostname not in services and "sslmode" in url and "sslmode=verify-full" not in url:
            yield f"{url} is weaker than verify-full"


def references_lead_somewhere(rendering: Rendering, facts: Facts):
    """What is not rendered has to be in the runbook's table."""
    accounts = {one["metadata"]["name"] for one in rendering.of("ServiceAccount")}
    there = {one["metadata"]["name"] for one in rendering.of("ConfigMap")}
    promised = {name for name, _ in facts.promised}
    for pod in rendering.pods():
        account = pod.spec.get("serviceAccountName")
        if account and account not in accounts:
            yield f"{pod.name} runs as {account}, which is no account"
        wanted = [one.get("configMap", {}).get("name") for one in pod.spec.get("volumes", [])]
        wanted += [one.get("secret", {}).get("secretName") for one in pod.spec.get("volumes", [])]
        for container in pod.containers:
            wanted += [one.get("configMapRef", {}).get("name") for one in container.get("envFrom", [])]
            wanted += [one.get("secretRef", {}).get("name") for one in container.get("envFrom", [])]
            wanted += [one.get("valueFrom", {}).get("secretKeyRef", {}).get("name") for one in container.get("env", [])]
        for name in filter(None, wanted):
            if name not in there | promised:
                yield f"{pod.name} refers to {name}, which nothing makes"
    for one in rendering.of("TriggerAuthentication"):
        for reference in one["spec"].get("secretTargetRef", []) + one["spec"].get("configMapTargetRef", []):
            if (reference["name"], reference["key"]) not in facts.promised:
                yield f"{named(one)} refers to {reference['name']} {reference['key']}, which nothing makes"


def nothing_goes_by_default(rendering: Rendering, _: Facts):
    closed = [
        one
        for one in rendering.of("NetworkPolicy")
        if one["spec"]["podSelector"] == {} and sorted(one["spec"].get("policyTypes", [])) == ["Egress", "Ingress"]
        and "ingress" not in one["spec"] and "egress" not in one["spec"]
    ]
    if rendering.pods() and not closed:
        yield "no NetworkPolicy forbids what is not allowed"


def topics_are_ours(rendering: Rendering, facts: Facts):
    topics = rendering.of("KafkaTopic")
    if not topics:
        return
    ours = {name for setting, name in facts.settings.items() if setting.startswith("KAFKA__TOPICS__")}
    registry = facts.settings["KAFKA__TOPICS__REGISTRY_LIFECYCLE"]
    made = {one["metadata"]["name"] for one in topics}
    for name in made ^ (ours - {registry}):
        yield f"topic {name} is made and not ours, or ours and not made"
    for one in topics:
        config = one["spec"].get("config", {})
        if config.get("min.insync.replicas", 1) not in range(2, one["spec"].get("replicas", 1)):
            yield f"{named(one)}: one broker that is lost loses records, or stops us"
        if config.get("cleanup.policy") != "delete":
            yield f"{named(one)} is compacted"
        if config.get("max.message.bytes", 0) <= int(facts.settings["KAFKA__MAX_VALUE_BYTES"]):
            yield f"{named(one)} takes smaller records than we send"
    group = facts.settings["KAFKA__GROUP_ID"]
    for user in rendering.of("KafkaUser"):
        yield from _rights(user, ours, {group, f"{group}-registry", "model-factory-follower"})


def _rights(user: dict, topics: set, groups: set):
    for rule in user["spec"].get("authorization", {}).get("acls", []):
        kind, name = rule["resource"]["type"], rule["resource"].get("name", "")
        prefix = rule["resource"].get("patternType") == "prefix"
        # The v1 API took `operation` away and asks for `operations`; the classes still know both.
        operations = set(rule.get("operations", []))
        if not operations or "operation" in rule:
            yield f"{named(user)}: a rule without `operations`"
        if kind not in ("topic", "group") or name in ("", "*") or "All" in operations:
            yield f"{named(user)} has more rights than it needs: {kind} {name} {sorted(operations)}"
        if kind == "topic" and not any(topic.startswith(name) if prefix else topic == name for topic in topics):
            yield f"{named(user)}: {name} is no topic of ours"
        if kind == "group" and not prefix and name not in groups:
            yield f"{named(user)}: {name} is no group of ours"
        if kind == "topic" and prefix and "Write" in operations:
            yield f"{named(user)} writes to whatever begins with {name}"


def scalers_fit(rendering: Rendering, facts: Facts):
    settings = facts.settings | rendering.settings()
    ledger = urlsplit(settings["LEDGER__URL"])
    wanted = {
        "kafka": {
            "bootstrapServers": settings["KAFKA__BROKERS"],
            "consumerGroup": settings["KAFKA__GROUP_ID"],
            "topic": settings["KAFKA__TOPICS__REQUESTS"],
        },
        "postgresql": {"host": ledger.hostname, "dbName": ledger.path.lstrip("/")},
    }
    authentications = {one["metadata"]["name"] for one in rendering.of("TriggerAuthentication")}
    for one in rendering.of("ScaledObject"):
        target = one["spec"]["scaleTargetRef"].get("name")
        deployment = [it for it in rendering.of("Deployment") if it["metadata"]["name"] == target]
        if not deployment:
            yield f"{named(one)} scales {target}, which is not there"
        elif "replicas" in deployment[0]["spec"]:
            yield f"{named(deployment[0])} says how many there are, and {named(one)} says so too"
        for trigger in one["spec"]["triggers"]:
            if trigger.get("authenticationRef", {}).get("name") not in authentications:
                yield f"{named(one)} has no credentials"
            if trigger["type"] not in wanted:
                yield f"{named(one)} scales by {trigger['type']}, which nobody has looked at"
            for name, value in wanted.get(trigger["type"], {}).items():
                if trigger["metadata"].get(name) != value:
                    yield f"{named(one)} has {name} {trigger['metadata'].get(name)}, the workers have {value}"


RULES = (
    names_are_taken_once,
    settings_exist,
    secrets_stay_in_secrets,
    servers_are_verified,
    references_lead_somewhere,
    nothing_goes_by_default,
    topics_are_ours,
    scalers_fit,
)
