#!/usr/bin/env bash
# Makes target/test-env and target/wheel-env, virtual environments with what the tests in Python need
# (tests/env/requirements.txt), installs Chromium with its driver where they are absent, apt is there and the user may use it,
# and compiles what runs cells in Rust (convscope-evcxr) and evcxr's own kernel, which share what they depend on. Run again, it
# does nothing. Tests that need a part that is absent say so and are skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment="${CARGO_TARGET_DIR:-target}/test-env"
wanted=$(cksum tests/env/requirements.txt)
# One environment for the tools, and the same once more, into which the wheel is installed.
for folder in "$environment" "${CARGO_TARGET_DIR:-target}/wheel-env"; do
    if [ "$(cat "$folder/installed" 2>/dev/null)" != "$wanted" ]; then
        # Some systems ship Python without venv; pip has its twin.
        if ! python3 -m venv --clear "$folder" 2> /dev/null; then
            PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --disable-pip-version-check virtualenv
            python3 -m virtualenv --quiet --clear "$folder"
        fi
        "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement tests/env/requirements.txt
        echo "$wanted" > "$folder/installed"
    fi
done

if ! command -v chromedriver > /dev/null || ! command -v chromium > /dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver > /dev/null
    else
        echo "tests/env/setup.sh: no chromium and chromedriver; the tests in a browser will be skipped" >&2
    fi
fi

# Little optimised: rust-analyzer, which both hold, compiles in half the time and answers as fast as cells need it.
evcxr=0.22.0
wanted=$(cat rust-cells/Cargo.* rust-cells/src/*.rs | cksum; echo "$evcxr")
if [ "$(cat "$environment/rust/installed" 2> /dev/null)" != "$wanted" ]; then
    mkdir -p "$environment/rust"
    environment=$(cd "$environment" && pwd)
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_TARGET_DIR="$environment/rust-build"
    cargo install --quiet --locked --path rust-cells --root "$environment/rust" --force
    cargo install --quiet --locked "evcxr_jupyter@$evcxr" --root "$environment/rust"
    echo "$wanted" > "$environment/rust/installed"
fi
