#!/bin/sh
# Puts what requirements.lock names, and this checkout, into .venv; with --lock, resolves requirements.lock anew instead.
# Takes uv from PATH, else from .tools, where pip or venv puts it; takes the Python that is there, and downloads none.
set -eu
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH || true

fail() {
    echo "driftline: $*" >&2
    exit 1
}

works() {
    "$@" >/dev/null 2>&1
}

# Prints the path of a uv that runs.
find_uv() {
    for uv in uv .tools/uv/bin/uv .tools/uv-venv/bin/uv; do
        if works "$uv" --version; then
            echo "$uv"
            return
        fi
    done
    for python in python3 python3.11 python3.12 python3.13; do
        works "$python" -c '' || continue
        echo "driftline: no uv on PATH, putting it into .tools" >&2
        if works "$python" -m pip install --quiet --upgrade --target .tools/uv uv && works .tools/uv/bin/uv --version; then
            echo .tools/uv/bin/uv
            return
        fi
        if works "$python" -m venv --clear .tools/uv-venv && works .tools/uv-venv/bin/pip install --quiet uv; then
            echo .tools/uv-venv/bin/uv
            return
        fi
        rm -rf .tools/uv .tools/uv-venv
    done
    if works python3 -m pip --version; then
        fail "uv is not here and pip could not install it (is the package index reachable?); see 'python3 -m pip install uv'"
    fi
    fail "neither uv nor pip is here; run: apt-get install python3 python3-pip"
}

# Prints the Python to use: 3.11 where there is one, else 3.12, else 3.13.
find_python() {
    for version in 3.11 3.12 3.13; do
        if "$uv" python find --no-project --system "$version" 2>/dev/null; then
            return
        fi
    done
    fail "needs Python 3.11 (or 3.12, 3.13 on glibc 2.39 or newer); run: apt-get install python3"
}

# Refuses early, in words, where the wheels of the second TensorFlow stack cannot load.
check_platform() {
    [ "$(uname -sm)" = "Linux x86_64" ] || fail "TensorFlow Data Validation has wheels for Linux on x86-64 only"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    [ "$version" = 3.11 ] && return
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)
    oldest=$(printf '%s\n2.39\n' "${glibc:-0}" | sort -V | head -n 1)
    [ "$oldest" = 2.39 ] ||
        fail "Python $version needs glibc 2.39, and here is ${glibc:-another C library}; run: apt-get install python3.11"
    if [ "$version" = 3.13 ]; then # pyfarmhash has no wheel for it
        headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
        { works command -v g++ && [ -f "$headers/Python.h" ]; } ||
            fail "Python 3.13 compiles one dependency; run: apt-get install g++ python3-dev"
    fi
}

uv=$(find_uv)

if [ "${1:-}" = --lock ]; then
    "$uv" lock --quiet
    "$uv" export --quiet --frozen --no-emit-project --all-extras --no-header --no-annotate \
        --format requirements.txt --output-file requirements.lock
    exit
fi

python=$(find_python)
check_platform
# Whatever stands in .venv and is not that Python any more makes way.
if ! [ "$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$version" ]; then
    rm -rf .venv
    "$uv" venv --quiet --python "$python" .venv
fi
echo "driftline: installing into .venv with Python $version (the first time takes a minute or two)"
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
