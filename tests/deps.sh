#!/bin/sh
# Installs the Debian packages that building and testing need; quick and silent when none is missing.
#   tests/deps.sh [build]   everything, or only what building and running need
#   tests/deps.sh check     only say what is missing, exit 1 if anything is
set -eu
build="build-essential pkg-config libdnnl-dev libopenblas-openmp-dev liblapacke-dev libhdf5-dev
 libzip-dev libjansson-dev libyaml-dev libssl-dev libpng-dev libjpeg62-turbo-dev zlib1g-dev"
test="libcmocka-dev perl hdf5-tools strace shellcheck python3 python3-numpy python3-scipy
 python3-h5py mandoc python3-sklearn python3-pil python3-torch python3-torchvision"
wanted="$build $test"
[ "${1:-}" != build ] || wanted=$build
missing=
for p in $wanted; do
    case $(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null) in
    installed) ;;
    *) missing="$missing $p" ;;
    esac
done
[ -n "$missing" ] || exit 0
if [ "${1:-}" = check ]; then
    echo "missing packages:$missing" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "as root: apt-get install$missing" >&2; exit 1; }
    as_root=sudo
fi
echo "installing:$missing" >&2
$as_root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
