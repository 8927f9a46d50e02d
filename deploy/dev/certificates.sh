#!/usr/bin/env bash
# Certificates and keys for tests of TLS, by the openssl command line.
#
#   certificates.sh FOLDER
#
# ca.pem            the authority that tests trust          other-ca.pem   one that nobody uses
# server.pem/.key   for the name localhost, not 127.0.0.1    expired.pem    the same, expired in 2020
# client.pem/.key   CN=worker, for mutual TLS                token.key      signs tokens; jwks.json its public half
set -euo pipefail

folder=$1
mkdir -p "$folder"
cd "$folder"
[ -e complete ] && exit 0

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

authority() {
    key "$1.key"
    openssl req -x509 -new -key "$1.key" -days 3650 -subj "/CN=$2" -out "$1.pem" \
        -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign
}

# NAME SUBJECT START END [SAN]
certificate() {
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    {
        echo "basicConstraints=CA:false"
        [ -z "${5:-}" ] || echo "subjectAltName=$5"
    } >"$1.ext"
    openssl ca -batch -notext -config authority.conf -in "$1.csr" -out "$1.pem" -startdate "$3" -enddate "$4" \
        -extfile "$1.ext" 2>openssl.log || { cat openssl.log >&2; exit 1; }
}

authority ca "Test authority"
authority other-ca "Another authority"
: >index.txt
cat >authority.conf <<CONF
[ca]
default_ca = tests
[tests]
database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
[any]
commonName = supplied
CONF
for name in server expired client; do key "$name.key"; done
certificate server /CN=localhost 20250101000000Z 20450101000000Z DNS:localhost
certificate expired /CN=localhost 20190101000000Z 20200101000000Z DNS:localhost
certificate client /CN=worker 20250101000000Z 20450101000000Z

key token.key
# The two coordinates are the last 64 bytes of the public key's DER form.
coordinate() { openssl pkey -in token.key -pubout -outform DER | tail -c 64 | "$@" | base64 -w0 | tr '+/' '-_' | tr -d '='; }
printf '{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"tests","x":"%s","y":"%s"}]}\n' \
    "$(coordinate head -c 32)" "$(coordinate tail -c 32)" >jwks.json
chmod 644 ./*
touch complete
