#!/bin/bash
# libjpeg-turbo 2.1.5 (Debian's source of libjpeg62-turbo, configured for the API of libjpeg 8, as Ubuntu's libjpeg8 is): whether
# <jerror.h> is included before or after <jpeglib.h> changes which numbers its codes have. The list of codes leaves some out by
# JPEG_LIB_VERSION, which only <jconfig.h> defines, and <jpeglib.h> includes that; <jerror.h> includes nothing, and takes a macro
# that is not there for 0, so for libjpeg 6. It compiles without a word either way. What compares err->msg_code with a name then
# compares with another error's number: JERR_OUT_OF_MEMORY is never seen, so that want of memory looks like a damaged file. Where
# the library has the API of libjpeg 6 (Debian) the numbers agree by chance, so that no test there shows it; and headers that are
# sorted by name, as formatters do, come in the wrong order.
# Needs: Debian 12, apt-get, cmake, g++.
set -euo pipefail
version=1:2.1.5-2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p parts lists/partial cache/archives/partial
for list in /etc/apt/sources.list.d/*.sources; do
  grep -q 'debian' "$list" && sed 's/^Types:.*/Types: deb-src/' "$list" >"parts/$(basename "$list")"
done
apt=(-q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" -o Dir::State::Lists="$work/lists"
     -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update >log 2>&1 || { cat log >&2; exit 1; }
apt-get "${apt[@]}" source --download-only "libjpeg-turbo=$version" >log 2>&1 || { cat log >&2; exit 1; }
mkdir source
tar -xf libjpeg-turbo_*.orig.tar.* -C source --strip-components 1
cat >codes.cpp <<'CODE'
#include <cstddef>
#include <cstdio>
#if FIRST
#include <jerror.h>
#include <jpeglib.h>
#else
#include <jpeglib.h>
#include <jerror.h>
#endif
int main() { std::printf("out of memory %d, extraneous data %d\n", int{JERR_OUT_OF_MEMORY}, int{JWRN_EXTRANEOUS_DATA}); }
CODE
for api in 6 8; do
  cmake -S source -B "as$api" -DWITH_JPEG8=$((api == 8)) -DWITH_SIMD=0 >log 2>&1 || { cat log >&2; exit 1; }
  for first in 0 1; do
    g++ -Wall -Wextra -DFIRST=$first "-Ias$api" -Isource codes.cpp -o codes 2>&1
    echo "API of libjpeg $api, jerror.h $([[ $first == 1 ]] && echo first || echo last): $(./codes)"
  done
done | tee seen
cat >expected <<'TEXT'
API of libjpeg 6, jerror.h last: out of memory 54, extraneous data 116
API of libjpeg 6, jerror.h first: out of memory 54, extraneous data 116
API of libjpeg 8, jerror.h last: out of memory 56, extraneous data 119
API of libjpeg 8, jerror.h first: out of memory 54, extraneous data 116
TEXT
diff expected seen && echo "as it was: libjpeg-turbo $version"
