#!/usr/bin/env bash
# A real Apache Kafka for tests: KRaft, one node, own ports and folder.
#
#   kafka.sh start   prints the bootstrap servers; exit status 3 where none can be provided; one that was
#                    started before and still runs is used again
#   kafka.sh stop    ends exactly the one that `start` started
#   kafka.sh down    an outage: ends it by SIGTERM; port and data stay
#   kafka.sh kill    the same by SIGKILL
#   kafka.sh up      the end of the outage: starts it again on its port and data
#
# Takes, in this order: MODEL_FACTORY_TEST_BROKERS, a Docker engine, the official jars through Maven with
# Java 17. Everything but the bootstrap servers goes to standard error.
#
# MODEL_FACTORY_KAFKA_STATE (an absolute folder) makes it a broker of one's own beside the shared one,
# whatever MODEL_FACTORY_TEST_BROKERS says; MODEL_FACTORY_KAFKA_PORT chooses its port.
#
# MODEL_FACTORY_KAFKA_SECURE=1 gives a broker of one's own further listeners, and prints `NAME=host:port` a line:
# PLAINTEXT, SASL (SASL_SSL: PLAIN, SCRAM, OAUTHBEARER), MTLS (a client's certificate is required), EXPIRED (shows an
# expired certificate). Certificates and keys are in the state folder's tls/ (certificates.sh); the users `worker` and
# `other` have the password `secret-of-<name>`; the authorizer lets `worker` do everything and others nothing.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
state="${MODEL_FACTORY_KAFKA_STATE:-$root/target/dev/kafka}"
lib="$root/target/dev/kafka/lib"
version=4.1.0

say() { echo "kafka: $*" >&2; }

secure() { [ "${MODEL_FACTORY_KAFKA_SECURE:-}" = 1 ]; }

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

wait_for_port() {
    for _ in $(seq 1 240); do
        answers "$1" && return 0
        "${@:2}" || return 1
        sleep 0.25
    done
    return 1
}

start_docker() {
    local port name
    port=${MODEL_FACTORY_KAFKA_PORT:-$(free_port)}
    name="model-factory-test-kafka-$port"
    say "starting apache/kafka:$version in Docker"
    docker run --detach --name "$name" --publish "127.0.0.1:$port:$port" \
        --env KAFKA_NODE_ID=1 --env KAFKA_PROCESS_ROLES=broker,controller \
        --env "KAFKA_LISTENERS=PLAINTEXT://:$port,CONTROLLER://:9093" \
        --env "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:$port" \
        --env KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER \
        --env KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT \
        --env KAFKA_CONTROLLER_QUORUM_VOTERS=1@localhost:9093 \
        --env KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1 \
        --env KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1 \
        --env KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1 \
        --env KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0 \
        --env KAFKA_AUTO_CREATE_TOPICS_ENABLE=false \
        "apache/kafka:$version" >&2
    echo "$name" >"$state/container"
    wait_for_port "$port" docker inspect "$name" >/dev/null 2>&1 || { say "the container did not come up"; return 1; }
    echo "127.0.0.1:$port" >"$state/brokers"
}

fetch_jars() {
    [ -e "$lib/.complete-$version" ] && return 0
    say "fetching Apache Kafka $version through Maven"
    mvn --batch-mode --quiet --file "$root/deploy/dev/kafka/pom.xml" \
        dependency:copy-dependencies "-DoutputDirectory=$lib" >&2
    touch "$lib/.complete-$version"
}

start_jars() {
    fetch_jars
    local port controller
    port=${MODEL_FACTORY_KAFKA_PORT:-$(free_port)}
    controller=$(free_port)
    rm -rf "$state/data" "$state/kafka.log"
    cat >"$state/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$state/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
PROPERTIES
    local users=()
    if secure; then
        add_secure_listeners "$port" "$controller"
        for user in worker other; do
            for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
                users+=(--add-scram "$mechanism=[name=$user,password=secret-of-$user]")
            done
        done
    fi
    java -cp "$lib/*" kafka.tools.StorageTool format --config "$state/server.properties" \
        --cluster-id MkU3OEVBNTcwNTJENDM2Qk "${users[@]}" >"$state/format.log" 2>&1 || { cat "$state/format.log" >&2; return 1; }
    say "starting Apache Kafka $version on port $port"
    run_jars "$port"
    if ! secure; then
        echo "127.0.0.1:$port" >"$state/brokers"
    fi
}

# Over the properties that are there already: listeners with TLS and SASL, and who may do what.
add_secure_listeners() {
    local tls="$state/tls" sasl mtls expired login=org.apache.kafka.common.security
    "$root/deploy/dev/certificates.sh" "$tls"
    cat "$tls/server.key" "$tls/server.pem" >"$tls/server.keystore.pem"
    cat "$tls/expired.key" "$tls/expired.pem" >"$tls/expired.keystore.pem"
    sasl=$(free_port) mtls=$(free_port) expired=$(free_port)
    sed -i -E '/^(listeners|advertised.listeners|listener.security.protocol.map)=/d' "$state/server.properties"
    cat >>"$state/server.properties" <<PROPERTIES
listeners=PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$2,SASL://127.0.0.1:$sasl,MTLS://127.0.0.1:$mtls,EXPIRED://127.0.0.1:$expired
advertised.listeners=PLAINTEXT://127.0.0.1:$1,SASL://localhost:$sasl,MTLS://localhost:$mtls,EXPIRED://localhost:$expired
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_SSL,MTLS:SSL,EXPIRED:SSL
ssl.keystore.type=PEM
ssl.truststore.type=PEM
ssl.keystore.location=$tls/server.keystore.pem
ssl.truststore.location=$tls/ca.pem
listener.name.mtls.ssl.client.auth=required
listener.name.mtls.ssl.principal.mapping.rules=RULE:^CN=(.*)\$/\$1/
listener.name.expired.ssl.keystore.type=PEM
listener.name.expired.ssl.keystore.location=$tls/expired.keystore.pem
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl.plain.sasl.jaas.config=$login.plain.PlainLoginModule required user_worker="secret-of-worker" user_other="secret-of-other";
listener.name.sasl.scram-sha-256.sasl.jaas.config=$login.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=$login.scram.ScramLoginModule required;
listener.name.sasl.oauthbearer.sasl.jaas.config=$login.oauthbearer.OAuthBearerLoginModule required;
listener.name.sasl.oauthbearer.sasl.server.callback.handler.class=$login.oauthbearer.OAuthBearerValidatorCallbackHandler
sasl.oauthbearer.jwks.endpoint.url=file://$tls/jwks.json
# Without it this release takes tokens by their claims alone, whoever signed them.
sasl.oauthbearer.jwt.validator.class=org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator
sasl.oauthbearer.expected.audience=kafka
sasl.oauthbearer.clock.skew.seconds=0
listener.name.sasl.oauthbearer.connections.max.reauth.ms=4000
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:worker;User:ANONYMOUS
PROPERTIES
    cat >"$state/brokers" <<BROKERS
PLAINTEXT=127.0.0.1:$1
SASL=localhost:$sasl
MTLS=localhost:$mtls
EXPIRED=localhost:$expired
BROKERS
}

run_jars() {
    # Which files tokens may be verified by.
    local allowed="-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://$state/tls/jwks.json"
    setsid java -Xmx512m "$allowed" -cp "$lib/*" kafka.Kafka "$state/server.properties" \
        >>"$state/kafka.log" 2>&1 </dev/null &
    echo $! >"$state/pid"
    wait_for_port "$1" kill -0 "$(cat "$state/pid")" || { tail -20 "$state/kafka.log" >&2; return 1; }
}

is_ours() { tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -q "$state/server.properties"; }

running() {
    if [ -e "$state/container" ]; then
        [ "$(docker inspect --format '{{.State.Running}}' "$(cat "$state/container")" 2>/dev/null)" = true ]
    elif [ -e "$state/pid" ]; then
        is_ours "$(cat "$state/pid")"
    else
        return 1
    fi
}

start() {
    if [ -n "${MODEL_FACTORY_TEST_BROKERS:-}" ] && [ -z "${MODEL_FACTORY_KAFKA_STATE:-}" ]; then
        echo "$MODEL_FACTORY_TEST_BROKERS"
        return 0
    fi
    mkdir -p "$state"
    if ! running; then
        provide || return $?
    fi
    cat "$state/brokers"
}

provide() {
    if secure && ! { command -v java && command -v mvn && command -v openssl; } >/dev/null; then
        say "a broker with TLS needs Java 17, Maven and openssl"
        return 3
    elif secure; then
        start_jars
    elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        start_docker
    elif command -v java >/dev/null && command -v mvn >/dev/null; then
        start_jars
    else
        say "neither Docker nor Java 17 with Maven is here; the in-process broker has to do"
        return 3
    fi
}

stop() {
    if [ -e "$state/container" ]; then
        docker rm --force "$(cat "$state/container")" >/dev/null 2>&1 || true
        rm -f "$state/container"
    fi
    end_process TERM
}

# Ends the process that `start` started, and waits for its end.
end_process() {
    [ -e "$state/pid" ] || return 0
    local pid
    pid=$(cat "$state/pid")
    rm -f "$state/pid"
    is_ours "$pid" || return 0
    kill "-$1" "$pid" 2>/dev/null || true
    for _ in $(seq 1 80); do
        is_ours "$pid" || return 0
        sleep 0.25
    done
    kill -KILL "$pid" 2>/dev/null || true
}

# With TERM or KILL.
go_away() {
    running || { say "there is no broker of ours that runs"; return 1; }
    if [ -e "$state/container" ]; then
        docker kill --signal "$1" "$(cat "$state/container")" >/dev/null
        docker wait "$(cat "$state/container")" >/dev/null
    else
        end_process "$1"
    fi
}

come_back() {
    local port
    port=$(sed -n '1s/.*://p' "$state/brokers")
    if [ -e "$state/container" ]; then
        docker start "$(cat "$state/container")" >/dev/null
        wait_for_port "$port" docker inspect "$(cat "$state/container")" >/dev/null
    else
        run_jars "$port"
    fi
}

case "${1:-}" in
start) start ;;
stop) stop ;;
down) go_away TERM ;;
kill) go_away KILL ;;
up) come_back ;;
*)
    echo "usage: kafka.sh start|stop|down|kill|up" >&2
    exit 2
    ;;
esac
