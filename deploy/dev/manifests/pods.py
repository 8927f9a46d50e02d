"""Rules about pods that no schema knows. Each gives complaints, one a line; none where all is well."""

import re

from rendering import PREFIX, Facts, Rendering, is_ours, named

# Seconds that a worker may take to end after its drain.
AFTER_DRAIN = 20
QUANTITY = re.compile(r"^\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?$")
# Whose files each part of a worker opens.
OPENS = {
    "intake": ("KAFKA__", "LEDGER__", "AUTHORITY__"),
    "runner": ("KAFKA__", "LEDGER__", "AUTHORITY__", "SIGNING__", "EVIDENCE__S3", "INPUTS__S3"),
    "database": ("LEDGER__",),
}


def images_are_pinned(rendering: Rendering, facts: Facts):
    for pod in rendering.pods():
        for container in pod.containers:
            image = container.get("image", "")
            tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
            if "@sha256:" not in image and tag in ("", "latest"):
                yield f"{pod.name}: image {image} has no tag"
            if is_ours(container) and tag != facts.version:
                yield f"{pod.name}: image {image} is not of this release, {facts.version}"


def nobody_is_privileged(rendering: Rendering, facts: Facts):
    for pod in rendering.pods():
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) == 0:
            yield f"{pod.name} may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.name} has no seccomp profile"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name} gets a token for the Kubernetes API"
        for shared in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(shared):
                yield f"{pod.name} has {shared}"
        if any("hostPath" in volume for volume in pod.spec.get("volumes", [])):
            yield f"{pod.name} mounts a folder of the node"
        for container in pod.containers:
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
                yield f"{pod.name}: {container['name']} may gain privileges"
            if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
                yield f"{pod.name}: {container['name']} keeps capabilities"
            if own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
                yield f"{pod.name}: {container['name']} may run as root"
            if is_ours(container) and own.get("readOnlyRootFilesystem") is not True:
                yield f"{pod.name}: {container['name']} has a root that can be written to"
            if is_ours(container) and context.get("runAsUser") != facts.uid:
                yield f"{pod.name} runs as another user than the image, {facts.uid}"


def resources_are_bounded(rendering: Rendering, _: Facts):
    for pod in rendering.pods():
        for container in pod.containers:
            resources = container.get("resources", {})
            for wanted in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
                if wanted[1] not in resources.get(wanted[0], {}):
                    yield f"{pod.name}: {container['name']} has no {' '.join(wanted)}"
            for amounts in resources.values():
                for what, amount in amounts.items():
                    if not QUANTITY.match(str(amount)):
                        yield f"{pod.name}: {container['name']} has {what} {amount}"


def mounts_have_volumes(rendering: Rendering, _: Facts):
    for pod in rendering.pods():
        volumes = {one["name"] for one in pod.spec.get("volumes", [])}
        volumes |= {one["metadata"]["name"] for one in pod.owner["spec"].get("volumeClaimTemplates", [])}
        mounted = {one["name"] for container in pod.containers for one in container.get("volumeMounts", [])}
        for name in mounted - volumes:
            yield f"{pod.name} mounts {name}, which is no volume of it"
        for name in volumes - mounted:
            yield f"{pod.name} has a volume {name} that nothing mounts"


def files_are_mounted(rendering: Rendering, facts: Facts):
    """A setting that names a file names one that is there: below a mount, and a key of what is mounted."""
    for pod in rendering.pods():
        sources = {one["name"]: one for one in pod.spec.get("volumes", [])}
        opens = OPENS.get(pod.labels.get("app.kubernetes.io/component"), ())
        for container in filter(is_ours, pod.spec.get("containers", [])):
            there = set()
            for mount in container.get("volumeMounts", []):
                source = sources.get(mount["name"], {})
                name = source.get("secret", {}).get("secretName") or source.get("configMap", {}).get("name")
                there |= {f"{mount['mountPath']}/{key}" for promised, key in facts.promised if promised == name}
            for name, value in rendering.environment(container).items():
                setting = name.removeprefix(PREFIX)
                if setting.endswith(("_FILE", "POLICY")) and setting.startswith(opens) and value not in there:
                    yield f"{pod.name}: {setting} names {value}, which nothing mounts"


def workers_can_drain(rendering: Rendering, facts: Facts):
    for pod in rendering.pods():
        for container in filter(is_ours, pod.spec.get("containers", [])):
            if container.get("args", [""])[0] != "worker":
                continue
            environment = rendering.environment(container)
            drain = int(environment.get(f"{PREFIX}WORKER__DRAIN_SECONDS", facts.settings["WORKER__DRAIN_SECONDS"] or 10))
            if pod.spec.get("terminationGracePeriodSeconds", 30) < drain + AFTER_DRAIN + 1:
                yield f"{pod.name} is killed before its drain of {drain} s is over"


def workers_are_probed(rendering: Rendering, _: Facts):
    for pod in rendering.pods():
        for container in filter(is_ours, pod.spec.get("containers", [])):
            if container.get("args", [""])[0] != "worker":
                continue
            ports = {one.get("name"): one.get("containerPort") for one in container.get("ports", [])}
            address = rendering.environment(container).get(f"{PREFIX}WORKER__HTTP", "127.0.0.1:8080")
            for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
                get = container.get(probe, {}).get("httpGet", {})
                if get.get("path") != path:
                    yield f"{pod.name}: the {probe} does not ask {path}"
                if str(ports.get(get.get("port"), get.get("port"))) != address.rpartition(":")[2]:
                    yield f"{pod.name}: the {probe} asks another port than {address}"
            if address.startswith("127."):
                yield f"{pod.name} listens on loopback only"
            metrics = rendering.environment(container).get(f"{PREFIX}WORKER__METRICS", "with_http")
            if str(ports.get("metrics")) != metrics.rpartition(":")[2]:
                yield f"{pod.name} serves metrics at {metrics}, not at its port metrics"
            console = rendering.environment(container).get(f"{PREFIX}WORKER__CONSOLE", "with_http")
            if console != "off" and not console.startswith("127."):
                yield f"{pod.name} shows its console beyond loopback"


def selectors_select(rendering: Rendering, _: Facts):
    pods = rendering.pods()

    def chosen(selector: dict) -> list:
        return [pod for pod in pods if selector.items() <= pod.labels.items()]

    for owner in rendering.of("Deployment", "StatefulSet"):
        selector = owner["spec"].get("selector", {}).get("matchLabels", {})
        owners = [pod.name for pod in chosen(selector)]
        if owners != [named(owner)]:
            yield f"{named(owner)} selects {owners}"
    for one in rendering.of("Service", "NetworkPolicy", "PodDisruptionBudget"):
        spec = one["spec"]
        selector = {
            "Service": lambda: spec.get("selector"),
            "NetworkPolicy": lambda: spec.get("podSelector", {}).get("matchLabels"),
            "PodDisruptionBudget": lambda: spec.get("selector", {}).get("matchLabels"),
        }[one["kind"]]()
        if not selector and one["kind"] != "NetworkPolicy" or not chosen(selector or {}):
            yield f"{named(one)} selects no pod"
    for deployment in rendering.of("Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()
        budgets = [one for one in rendering.of("PodDisruptionBudget") if one["spec"]["selector"]["matchLabels"].items() <= labels]
        if len(budgets) != 1:
            yield f"{named(deployment)} has {len(budgets)} disruption budgets"


RULES = (
    images_are_pinned,
    nobody_is_privileged,
    resources_are_bounded,
    mounts_have_volumes,
    files_are_mounted,
    workers_can_drain,
    workers_are_probed,
    selectors_select,
)
