#!/bin/bash
# meshio 5.0.0 (Debian 12: python3-meshio 7.0.0-3) reads the type `uchar` of a binary PLY as signed: colours above 127 come out
# negative (200 as -56), in an array of int8. The same file as ASCII is read with the right values, and so is the binary one if it
# calls the type `uint8`, its other name in PLY.
# Needs: Debian 12, apt-get, python3 with numpy.
set -euo pipefail
version=7.0.0-3
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
apt-get download -q "python3-meshio=$version" python3-rich python3-markdown-it python3-mdurl python3-pygments >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" root; done
cat > try.py <<'PY'
import struct
import meshio

def ply(form, kind):
    head = f"ply\nformat {form} 1.0\nelement vertex 3\n"
    head += "".join(f"property float {a}\n" for a in "xyz") + f"property {kind} red\n"
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    rows = [(0, 0, 0, 200), (1, 0, 0, 127), (0, 1, 0, 255)]
    if form == "ascii":
        return (head + "".join(" ".join(map(str, r)) + "\n" for r in rows) + "3 0 1 2\n").encode()
    return head.encode() + b"".join(struct.pack("<fffB", *r) for r in rows) + struct.pack("<Biii", 3, 0, 1, 2)

for form in ("ascii", "binary_little_endian"):
    for kind in ("uchar", "uint8"):
        open("mesh.ply", "wb").write(ply(form, kind))
        red = meshio.read("mesh.ply").point_data["red"]
        print(form, kind, red.dtype, [int(x) for x in red])
PY
PYTHONPATH=root/usr/lib/python3/dist-packages /usr/bin/python3 try.py | tee seen
cat > expected <<'TEXT'
ascii uchar uint8 [200, 127, 255]
ascii uint8 uint8 [200, 127, 255]
binary_little_endian uchar int8 [-56, 127, -1]
binary_little_endian uint8 uint8 [200, 127, 255]
TEXT
diff expected seen && echo "as it was: meshio $version"
