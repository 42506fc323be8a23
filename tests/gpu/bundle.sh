#!/bin/sh
# make gpu-bundle: everything that `tests/gpu/run.sh` needs on a machine that has a GPU and little else,
# as BUILD/gpu/bundle.tar.xz: programs, plugin, tests, the scripts, and the shared libraries of this machine
# that the programs are linked with.  CUDA's own libraries stay behind: run.sh finds those of the machine.
#   bundle.sh BUILD
set -eu
build=${1:-build}
to=$build/gpu
rm -rf "$to"
mkdir -p "$to/root/lib"
root=$to/root
programs="$build/extract $build/score $build/outpost-cuda.so $build/unit/test_twins $build/unit/test_plugin
$build/unit/test_cuda_network $build/unit/test_nets $build/tools/hash_weights $build/demo-images"
for p in $programs; do
    [ -e "$p" ] || { echo "bundle.sh: no $p: make CUDA=1 gpu-bundle" >&2; exit 1; }
    mkdir -p "$root/$(dirname "${p#"$build"/}" | sed 's|^|build/|')"
    cp "$p" "$root/build/${p#"$build"/}"
done
mkdir -p "$root/weights"
cp weights/demo.safetensors "$root/weights/"
cp -R tests "$root/"
rm -rf "$root/tests/fuzz" "$root"/tests/*/__pycache__
# The loader, libc and what belongs to it are the other machine's; so is all of CUDA.
ldd "$build/extract" "$build/score" "$build/unit/test_nets" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -Ev '/(ld-linux|libc\.so|libm\.so|libdl|libpthread|librt|libresolv|libcuda|libcudart|libcudnn|libcublas|libcusolver|libnv)' |
    while read -r library; do cp -L "$library" "$root/lib/"; done
strip --strip-unneeded "$root"/lib/*.so* "$root"/build/unit/* "$root/build/extract" "$root/build/score" 2>/dev/null || true
XZ_OPT=-3 tar -C "$root" -cJf "$to/bundle.tar.xz" .
rm -rf "$root"
cp tests/gpu/run.sh "$to/run.sh"
ls -l "$to/bundle.tar.xz" | awk '{ printf "%s: %.1f MiB\n", $NF, $5 / 1048576 }'
