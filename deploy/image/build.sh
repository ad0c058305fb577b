#!/bin/sh
# Builds the image from a wheel with buildah (or podman, docker: BUILDER). Usage: deploy/image/build.sh WHEEL TAG [OPTION ..]
# Options go to the builder: --build-arg BASE=debian@sha256:..
# Built again with the same SOURCE_DATE_EPOCH, base and packages of Debian, it is the same image.
set -eu
wheel=$1
tag=$2
shift 2
here=$(dirname "$(readlink -f "$0")")
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
"${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --python-version 3.11 --only-binary :all: \
    -c "$here/../../constraints.txt" -d "$context" "$wheel[postgresql]"
chmod 0644 "$context"/*
: "${SOURCE_DATE_EPOCH:=$(git -C "$here" log -1 --format=%ct 2>/dev/null || echo 0)}"
case ${BUILDER:-buildah} in
    *buildah) set -- --timestamp "$SOURCE_DATE_EPOCH" --format oci "$@" ;;
esac
"${BUILDER:-buildah}" build -f "$here/Containerfile" -t "$tag" "$@" "$context"
