"""What a thin board keeps of its two sides.

A board that is 1 to 6 voxels thick, seen from both sides by a depth camera without noise: frames of it are made here, as an
RGB-D folder. Of each side: the share of its area that has a surface (one that faces the right way, within a voxel of it), and how
far that surface lies from the side in the mean. The board lies at several places on the lattice, of which the mean is told.
Beside it, where python3-open3d is installed, Open3D's ScalableTSDFVolume with the same frames, voxel and truncation."""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from support import measuring, scene  # noqa: E402

WIDTH, HEIGHT, FOCAL = 320, 240, 260.0
BOARD = np.array([0.8, 0.6])  # metres, across and up
RIM_M = 0.06  # of a side that is not looked at: beyond a board's rim cameras see past it
DEPTH_SCALE = 5000  # units of depth pictures a metre: 0.2 mm, which no voxel here feels


def poses(frames):
    """World-from-camera matrices, half of them on each side of the board, which lies about z = 0. They look at its middle."""
    out = []
    for i in range(frames):
        side = 1 if i % 2 == 0 else -1
        turn = 2 * np.pi * (i // 2) / max(1, frames // 2)
        eye = np.array([0.35 * np.cos(turn), 0.25 * np.sin(turn), side * 1.2])
        ahead = -eye / np.linalg.norm(eye)
        right = np.cross(ahead, [0, 1, 0])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack((right, np.cross(ahead, right), ahead), axis=1)
        pose[:3, 3] = eye
        out.append(pose)
    return out


def depth_of(pose, thickness, middle):
    """Depth in metres of what a camera sees of the board, whose middle is at z = `middle`; 0 where it sees past it."""
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rays = np.stack(((u - WIDTH / 2) / FOCAL, (v - HEIGHT / 2) / FOCAL, np.ones_like(u, dtype=float)), axis=-1) @ pose[:3, :3].T
    half = np.array([BOARD[0] / 2, BOARD[1] / 2, thickness / 2])
    origin = pose[:3, 3] - [0, 0, middle]
    with np.errstate(divide="ignore"):
        first, second = (-half - origin) / rays, (half - origin) / rays
    near, far = np.minimum(first, second).max(axis=-1), np.maximum(first, second).min(axis=-1)
    return np.where((near <= far) & (near > 0), near, 0)


def write_frames(folder, frames, thickness, middle):
    folder.mkdir()
    np.savetxt(folder / "camera-intrinsics.txt", [[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    for i, pose in enumerate(poses(frames)):
        depth = np.rint(depth_of(pose, thickness, middle) * DEPTH_SCALE).astype(np.uint16)
        colour = np.full((HEIGHT, WIDTH, 3), (200, 80, 40) if i % 2 == 0 else (40, 80, 200), np.uint8)
        scene.write_png(folder / f"frame-{i:06d}.depth.png", depth)
        scene.write_png(folder / f"frame-{i:06d}.color.png", colour)
        np.savetxt(folder / f"frame-{i:06d}.pose.txt", pose, fmt="%.17g")


def read_ply(data):
    """Corners of the triangles of our PLY files: N x 3 x 3."""
    head, _, body = data.partition(b"end_header\n")
    counts = {w[1]: int(w[2]) for w in (line.split() for line in head.decode().splitlines()) if w[0] == "element"}
    vertex = np.dtype([("place", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)])
    face = np.dtype([("n", "u1"), ("corners", "<i4", 3)])
    places = np.frombuffer(body, vertex, counts["vertex"])["place"].astype(float)
    return places[np.frombuffer(body, face, counts["face"], counts["vertex"] * vertex.itemsize)["corners"]]


def by_tessera(binary, folder, voxel, truncation, scratch):
    file = scratch / "mesh.ply"
    done = subprocess.run([binary, "mesh", f"rgbd:{folder}", "--voxel-size", repr(voxel), "--truncation", repr(truncation),
                           "--depth-scale", str(DEPTH_SCALE), "-o", file], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"thin: tessera mesh failed: {done.stderr}")
    return read_ply(file.read_bytes())


def by_open3d(o3d, folder, voxel, truncation):
    volume = o3d.pipelines.integration.ScalableTSDFVolume(
        voxel_length=voxel, sdf_trunc=truncation, color_type=o3d.pipelines.integration.TSDFVolumeColorType.RGB8)
    camera = o3d.camera.PinholeCameraIntrinsic(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)
    for pose in sorted(folder.glob("*.pose.txt")):
        name = pose.name.split(".")[0]
        image = o3d.geometry.RGBDImage.create_from_color_and_depth(
            o3d.io.read_image(str(folder / f"{name}.color.png")), o3d.io.read_image(str(folder / f"{name}.depth.png")),
            depth_scale=DEPTH_SCALE, depth_trunc=10, convert_rgb_to_intensity=False)
        volume.integrate(image, camera, np.linalg.inv(np.loadtxt(pose)))
    mesh = volume.extract_triangle_mesh()
    return np.asarray(mesh.vertices)[np.asarray(mesh.triangles)]


def points_on(triangles, spacing):
    """Points spread over triangles, no farther apart than `spacing`, and each one's unit normal."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    size = np.linalg.norm(normals, axis=1)
    triangles, normals = triangles[size > 0], normals[size > 0] / size[size > 0, None]
    longest = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(axis=1)
    places, faces = [], []
    parts = np.ceil(longest / spacing).astype(int)
    for n in np.unique(parts):
        some = parts == n
        # the centres of the n * n parts into which the triangle is cut
        weights = [((i + s) / n, (j + s) / n) for s in (1 / 3, 2 / 3) for i in range(n) for j in range(n) if i + j + 2 * s < n]
        for a, b in weights:
            t = triangles[some]
            places.append(t[:, 0] + a * (t[:, 1] - t[:, 0]) + b * (t[:, 2] - t[:, 0]))
            faces.append(normals[some])
    return (np.concatenate(places), np.concatenate(faces)) if places else (np.zeros((0, 3)), np.zeros((0, 3)))


def judge(triangles, thickness, middle, voxel):
    """Of each side: the share of its area that is there, and the mean distance from it of what is, in metres."""
    places, normals = points_on(triangles, voxel / 4)
    cell = voxel / 2
    low = -BOARD / 2 + RIM_M
    cells = np.floor((BOARD - 2 * RIM_M) / cell + 1e-9).astype(int)
    out = []
    for side in (1, -1):
        off = places[:, 2] - (middle + side * thickness / 2)
        at = np.floor((places[:, :2] - low) / cell).astype(int)
        good = (np.abs(off) <= voxel) & (side * normals[:, 2] > 0.5) & (at >= 0).all(axis=1) & (at < cells).all(axis=1)
        # the nearest that each cell has
        best = np.full(cells, np.inf)
        np.minimum.at(best, tuple(at[good].T), np.abs(off[good]))
        there = np.isfinite(best)
        out.append((float(there.mean()), float(best[there].mean()) if there.any() else None))
    return out


def mean(values):
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


def main():
    parser = measuring.command_line(__doc__)
    parser.add_argument("--voxel", type=float, default=0.02, help="voxel size, m (default: 0.02)")
    parser.add_argument("--truncation", type=float, default=3, help="voxels (default: 3)")
    parser.add_argument("--thick", type=float, nargs="*", default=[1, 1.5, 2, 3, 4, 6], help="the board's thickness, voxels")
    parser.add_argument("--phases", type=int, default=4, help="places of the board on the lattice (default: 4)")
    parser.add_argument("--frames", type=int, default=12, help="half of them on each side (default: 12)")
    options = measuring.options_of(parser)
    for name, value, least in (("voxel", options.voxel, 1e-6), ("phases", options.phases, 1), ("frames", options.frames, 2)):
        if value < least:
            parser.error(f"--{name} is {value}, must be at least {least:g}")
    try:
        import open3d as o3d
    except ImportError:
        o3d = None
        print("thin: python3-open3d is not installed; only our own map is measured")
    voxel, truncation = options.voxel, options.truncation * options.voxel
    rows = []
    for thick in options.thick:
        judged = {"tessera": [], "open3d": []}
        for phase in range(options.phases):
            middle = voxel * (phase + 0.13) / options.phases  # no side lies on voxels exactly, where chance decides
            with tempfile.TemporaryDirectory() as scratch:
                folder = pathlib.Path(scratch) / "frames"
                write_frames(folder, options.frames, thick * voxel, middle)
                meshes = {"tessera": by_tessera(options.binary, folder, voxel, truncation, pathlib.Path(scratch))}
                if o3d is not None:
                    meshes["open3d"] = by_open3d(o3d, folder, voxel, truncation)
            for who, triangles in meshes.items():
                judged[who] += [judge(triangles, thick * voxel, middle, voxel)]
        row = {"thick_voxels": thick}
        for who, all_phases in judged.items():
            if all_phases:
                row[who] = {
                    "front": mean([sides[0][0] for sides in all_phases]), "back": mean([sides[1][0] for sides in all_phases]),
                    "least": min(side[0] for sides in all_phases for side in sides),
                    "error_voxels": mean([side[1] / voxel for sides in all_phases for side in sides if side[1] is not None])}
        rows.append(row)
    print(f"A board of {BOARD[0]:g} x {BOARD[1]:g} m, seen by {options.frames} frames from both sides; voxels of"
          f" {voxel * 100:g} cm, truncation {options.truncation:g} voxels; means of {options.phases} places on the lattice")
    print(f"{'':>10}  {'':<8}{'area that is there':^28}{'distance':>10}")
    print(f"{'thickness':>10}  {'':<8}{'front':>9}{'back':>9}{'least':>9}{'voxels':>11}")
    for row in rows:
        for who in ("tessera", "open3d"):
            if who in row:
                r = row[who]
                off = "-" if r["error_voxels"] is None else f"{r['error_voxels']:.3f}"
                print(f"{row['thick_voxels']:>10g}  {who:<8}{r['front']:>9.1%}{r['back']:>9.1%}{r['least']:>9.1%}{off:>11}")
    if options.json:
        print(json.dumps({"voxel_m": voxel, "truncation_voxels": options.truncation, "frames": options.frames,
                          "phases": options.phases, "rows": rows}))


if __name__ == "__main__":
    main()
