#!/bin/bash
# nvcc 13.0: the same source under the same relative name, compiled in two folders, gives other symbols, though no debug
# information is asked for. What is in an unnamed namespace gets a name with eight hex digits, a hash of the source's whole path;
# that `-ffile-prefix-map` takes the folder away changes nothing, since the name is made by cudafe++, before the host's compiler.
# So two checkouts of one tree are not the same bytes, and profiles and kernel filters by symbol fit one folder alone. cudafe++
# hashes what `-Xcudafe --orig_src_path_name=NAME` says instead: an option that `nvcc --help` does not list.
# Needs: nvcc 13.0 (V13.0.88; package cuda-nvcc-13-0 of NVIDIA's repository for Debian 12), g++.
set -euo pipefail
nvcc=$(command -v nvcc || echo /usr/local/cuda-13.0/bin/nvcc)
"$nvcc" --version | grep -q V13.0.88 || { echo "this is about nvcc V13.0.88" >&2; exit 1; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
mkdir here there
cat > here/k.cu <<'CU'
namespace {
__global__ void twice(float* x) { x[threadIdx.x] *= 2; }
}
void run(float* x) { twice<<<1, 32>>>(x); }
CU
cp here/k.cu there/
symbols() { # FOLDER [OPTION...]: the kernel's symbol when k.cu is compiled in that folder
  (cd "$1" && "$nvcc" -arch=sm_90 "${@:2}" -c k.cu -o k.o && nm k.o | grep -o ' T _ZN.*twice.*')
}
compare() { # WHAT [OPTION...]
  if [[ $(symbols here "${@:2}") == "$(symbols there "${@:2}")" ]]; then
    echo "$1: the same symbol"
  else
    echo "$1: two symbols"
  fi
}
{
  compare "in two folders"
  compare "with -ffile-prefix-map" "-Xcompiler=-ffile-prefix-map=$work/here=,-ffile-prefix-map=$work/there="
  compare "with --orig_src_path_name" -Xcudafe --orig_src_path_name=k.cu
} | tee seen
cat > expected <<'TEXT'
in two folders: two symbols
with -ffile-prefix-map: two symbols
with --orig_src_path_name: the same symbol
TEXT
diff expected seen && echo "as it was: nvcc V13.0.88"
