# Sourced by the other scripts: finds Python, keeps the virtual environment up to date.
#
#   ensure_extras [test[,check]]    afterwards "$python" has the project, editable, with these extras
#
# MESH_VENV names the environment; the default is .venv in the project.

project=$(cd -- "${BASH_SOURCE[0]%/*}/.." && pwd -P)
venv=${MESH_VENV:-$project/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv
python=$venv/bin/python

fail() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}

# Prints the first interpreter that is new enough. Each is run, because a name on PATH may be an empty shim.
find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and $(python3 --version 2>/dev/null || echo 'no python3') was found;\
 on Debian 12 or newer: apt-get install python3 python3-venv"
}

make_venv() {
    local base version
    base=$(find_python) || exit 1
    if ! "$base" -c 'import venv, ensurepip' 2>/dev/null; then
        version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        fail "Python $version cannot make a virtual environment, its venv or ensurepip module is missing;\
 on Debian: apt-get install python$version-venv"
    fi
    "$base" -m venv "$venv" || fail "no virtual environment could be made in $venv; set MESH_VENV to another folder"
}

ensure_extras() {
    # What was installed is remembered whole, together with where from: a stamp by date lies after a checkout.
    local extras=${1-} stamp wanted
    wanted=$project$'\n'$(<"$project/pyproject.toml")
    # Where no extras are wanted, an installation with any will do.
    for stamp in "$venv"/.installed-${extras:-*}; do
        if [[ -x $python && -f $stamp && $(<"$stamp") == "$wanted" ]]; then
            return
        fi
    done
    "$python" -m pip --version >/dev/null 2>&1 || make_venv
    "$python" -m pip install --quiet --disable-pip-version-check --editable "$project${extras:+[$extras]}" >&2 ||
        fail "pip could not install freelance-mesh${extras:+[$extras]} into $venv; its message is above"
    printf '%s\n' "$wanted" >"$venv/.installed-${extras:-alone}"
}
