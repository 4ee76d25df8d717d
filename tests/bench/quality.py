"""How good is the map of real frames beside Open3D's of the same frames.

Nearness: the median distance of the raw points to each mesh.

Cover, by the mesh: of the pixels in whose neighbourhood (3 x 3 x 3 voxels around the one that its point is in) Open3D's mesh has
any part of a triangle, the share where ours has one too, and the other way round; and how far away our mesh is for the rest. What
share can be expected at all: Open3D's own mesh once more, with its lattice moved by half a voxel.

Cover, by the field: of the pixels with an observed voxel (weight > 0) in the neighbourhood (the voxel nearest to its point, and
the 26 around it), of Open3D's VoxelBlockGrid and of ours; how many of the 27 are observed; and for how many of the pixels that
Open3D's mesh covers our field is observed.

Needs python3-open3d and the recording `$TESSERA_SHARED/data/rgbd-room` (default ../shared); says so and ends if one is missing.
The field needs bench_observed, which is built beside the program, in tests/."""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


def frames(folder, every):
    return sorted(p.name.split(".")[0] for p in folder.glob("frame-*.color.jpg"))[::every]


def open3d_triangles(o3d, folder, names, voxel, camera, moved=0.0):
    """Open3D's mesh, made on a lattice that lies so many voxels off on each axis."""
    volume = o3d.pipelines.integration.ScalableTSDFVolume(
        voxel_length=voxel, sdf_trunc=3 * voxel, color_type=o3d.pipelines.integration.TSDFVolumeColorType.RGB8)
    for name in names:
        image = o3d.geometry.RGBDImage.create_from_color_and_depth(
            o3d.io.read_image(str(folder / f"{name}.color.jpg")), o3d.io.read_image(str(folder / f"{name}.depth.png")),
            depth_scale=1000, depth_trunc=4, convert_rgb_to_intensity=False)
        world_from_camera = np.loadtxt(folder / f"{name}.pose.txt")
        world_from_camera[:3, 3] += moved * voxel
        volume.integrate(image, camera, np.linalg.inv(world_from_camera))
    return corners(volume.extract_triangle_mesh()) - moved * voxel


def raw_points(o3d, folder, name, k, step):
    """World coordinates, metres, of every step-th pixel in both directions."""
    depth = np.asarray(o3d.io.read_image(str(folder / f"{name}.depth.png")))[::step, ::step].astype(np.float64) / 1000
    v, u = np.nonzero((depth > 0) & (depth <= 4))
    z = depth[v, u]
    camera = np.stack(((u * step - k[0, 2]) * z / k[0, 0], (v * step - k[1, 2]) * z / k[1, 1], z, np.ones_like(z)))
    return (np.loadtxt(folder / f"{name}.pose.txt") @ camera)[:3].T


def corners(mesh):
    """N x 3 x 3: the corners of each triangle, metres."""
    return np.asarray(mesh.vertices)[np.asarray(mesh.triangles)]


def dot(a, b):
    return np.einsum("ij,ij->i", a, b)


def to_segment(p, a, b):
    along = b - a
    t = np.clip(dot(p - a, along) / np.maximum(dot(along, along), 1e-30), 0, 1)
    return np.linalg.norm(p - a - t[:, None] * along, axis=1)


def to_triangle(p, t):
    """Distance of point i to triangle i: to its plane where the point lies above the triangle, else to its nearest side."""
    a, b, c = t[:, 0], t[:, 1], t[:, 2]
    normal = np.cross(b - a, c - a)
    size = np.linalg.norm(normal, axis=1)
    above = size > 1e-15
    for q, r in ((a, b), (b, c), (c, a)):
        above &= dot(np.cross(r - q, p - q), normal) >= 0
    sides = np.minimum(np.minimum(to_segment(p, a, b), to_segment(p, b, c)), to_segment(p, c, a))
    return np.where(above, np.abs(dot(p - a, normal)) / np.maximum(size, 1e-30), sides)


def distances(o3d, points, triangles, candidates=24):
    """Distance of each point to the triangles with the nearest centres: those hold the nearest triangle, since all are of about
    a voxel."""
    search = o3d.core.nns.NearestNeighborSearch(o3d.core.Tensor(triangles.mean(axis=1)))
    search.knn_index()
    out = []
    for some in np.array_split(points, max(1, len(points) // 20_000)):
        found = search.knn_search(o3d.core.Tensor(some), candidates)[0].numpy()
        each = to_triangle(np.repeat(some, candidates, axis=0), triangles[found.reshape(-1)])
        out.append(each.reshape(-1, candidates).min(axis=1))
    return np.concatenate(out)


def key(voxels):
    return (voxels[..., 0] + 2**20) | (voxels[..., 1] + 2**20) << 21 | (voxels[..., 2] + 2**20) << 42


def touched(triangles, voxel):
    """Keys of the voxels [v, v + 1) that a triangle passes through: separating axes of a box and a triangle (Akenine-Moeller
    2001)."""
    t = triangles / voxel
    low, high = np.floor(t.min(axis=1)).astype(np.int64), np.floor(t.max(axis=1)).astype(np.int64)
    found = []
    span = (high - low).max(axis=0) + 1
    for step in np.ndindex(*span):
        at = low + step
        inside = (at <= high).all(axis=1)
        v = t[inside] - (at[inside, None] + 0.5)
        hit = np.ones(len(v), bool)
        sides = np.roll(v, -1, axis=1) - v
        normal = np.cross(sides[:, 0], sides[:, 1])
        axes = [normal] + [np.cross(np.eye(3)[i], sides[:, j]) for i in range(3) for j in range(3)]
        for axis in axes:
            reach = 0.5 * np.abs(axis).sum(axis=1)
            along = np.einsum("ijk,ik->ij", v, axis)
            hit &= (along.min(axis=1) <= reach + 1e-12) & (along.max(axis=1) >= -reach - 1e-12)
        found.append(key(at[inside][hit]))
    return np.unique(np.concatenate(found))


def place(keys):
    """The voxels of keys: N x 3."""
    return np.stack([(keys >> shift & (2**21 - 1)) - 2**20 for shift in (0, 21, 42)], axis=-1)


def observed_by_open3d(o3d, folder, names, voxel, k):
    """Keys of the voxels with a weight in a VoxelBlockGrid of the frames, with the same truncation."""
    f32 = o3d.core.float32
    grid = o3d.t.geometry.VoxelBlockGrid(("tsdf", "weight"), (f32, f32), ((1), (1)), voxel, 16, 10_000, o3d.core.Device("CPU:0"))
    camera = o3d.core.Tensor(k)
    for name in names:
        depth = o3d.t.io.read_image(str(folder / f"{name}.depth.png"))
        camera_from_world = o3d.core.Tensor(np.linalg.inv(np.loadtxt(folder / f"{name}.pose.txt")))
        blocks = grid.compute_unique_block_coordinates(depth, camera, camera_from_world, 1000.0, 4.0, 3.0)
        grid.integrate(blocks, depth, camera, camera_from_world, 1000.0, 4.0, 3.0)
    at, index = grid.voxel_coordinates_and_flattened_indices()
    weight = grid.attribute("weight").reshape((-1, 1))[index].numpy().ravel()
    return np.sort(key(np.rint(at.numpy()[weight > 0] / voxel).astype(np.int64)))


def observed_by_tessera(folder, every, voxel, scratch):
    """Keys of the observed voxels; nothing without bench_observed."""
    binary = pathlib.Path(os.environ["TESSERA_BIN"])
    program = binary.parent / "tests" / "bench_observed"
    if not program.exists():
        return None
    told = subprocess.run([program, f"rgbd:{folder}", str(voxel), str(every), f"{scratch}/voxels"], check=True,
                          capture_output=True, text=True)
    wanted = subprocess.run([binary, "hash", f"rgbd:{folder}", "--every", str(every), "--voxel-size", str(voxel), "--truncation",
                             str(3 * voxel)],
                            check=True, capture_output=True, text=True)
    if told.stdout.strip() not in wanted.stdout:
        raise SystemExit(f"quality: bench_observed made another map than {binary}")
    return np.sort(key(np.fromfile(f"{scratch}/voxels", np.int32).astype(np.int64).reshape(-1, 3)))


def is_in(keys, these):
    """Which keys are among these, which are sorted."""
    return these[np.minimum(np.searchsorted(these, keys), len(these) - 1)] == keys


def around(voxels, these, reach=1):
    """How many voxels of the neighbourhood of each are among these."""
    count = np.zeros(len(voxels), np.int64)
    for step in np.ndindex(*3 * (2 * reach + 1,)):
        count += is_in(key(voxels + np.array(step) - reach), these)
    return count


def rings(voxels, these, most=6):
    """Of each voxel: the smallest reach at which its neighbourhood has one of these; most + 1 if none does."""
    out = np.full(len(voxels), most + 1)
    for reach in range(most, 0, -1):
        left = out == reach + 1 if reach < most else np.ones(len(voxels), bool)
        out[np.flatnonzero(left)[around(voxels[left], these, reach) > 0]] = reach
    return out


def pixels_of(o3d, folder, names, k, voxel):
    """All pixels, put together by the half voxel that their points are in, which tells both the voxel that a point is in and the
    one nearest to it: the two voxels, N x 3 each, and how many pixels."""
    found = [np.unique(key(np.floor(2 * raw_points(o3d, folder, name, k, 1) / voxel).astype(np.int64)), return_counts=True)
             for name in names]
    halves, which = np.unique(np.concatenate([at for at, _ in found]), return_inverse=True)
    halves = place(halves)
    return halves >> 1, (halves + 1) >> 1, np.bincount(which, np.concatenate([n for _, n in found])).astype(np.int64)


def cover_by_mesh(meshes, moved, voxel, within, count):
    """Figures, and which pixels Open3D's mesh covers."""
    hit = {n: touched(t, voxel) for n, t in meshes.items()}
    covered = {n: around(within, keys) > 0 for n, keys in hit.items()}
    total = {n: int(count[c].sum()) for n, c in covered.items()}
    both = int(count[covered["tessera"] & covered["open3d"]].sum())
    missing = covered["open3d"] & ~covered["tessera"]
    far = np.bincount(rings(within[missing], hit["tessera"]), count[missing], minlength=8)
    return {
        "covered": {n: round(t / int(count.sum()), 6) for n, t in total.items()},
        "of_open3d_covered_by_tessera": round(both / total["open3d"], 6),
        "of_tessera_covered_by_open3d": round(both / total["tessera"], 6),
        "of_open3d_covered_by_open3d_moved": round(
            int(count[covered["open3d"] & (around(within, touched(moved, voxel)) > 0)].sum()) / total["open3d"], 6),
        "missing": total["open3d"] - both,
        "missing_by_voxels_to_our_mesh": {str(r) if r < 7 else "more": int(far[r]) for r in range(2, 8)},
    }, covered["open3d"]


def cover_by_field(fields, nearest, count, in_open3d_mesh):
    seen = {n: around(nearest, keys) for n, keys in fields.items()}

    def share(of, which):
        return round(int(count[of & which].sum()) / int(count[of].sum()), 8)

    every = np.ones(len(count), bool)
    return {
        "observed": {n: share(every, s > 0) for n, s in seen.items()},
        "observed_of_27": {n: round(float((s * count).sum() / count.sum()), 2) for n, s in seen.items()},
        "all_27_observed": {n: share(every, s == 27) for n, s in seen.items()},
        "of_open3d_observed_by_tessera": share(seen["open3d"] > 0, seen["tessera"] > 0),
        "of_tessera_observed_by_open3d": share(seen["tessera"] > 0, seen["open3d"] > 0),
        "of_open3d_mesh_observed_by_tessera": share(in_open3d_mesh, seen["tessera"] > 0),
        "voxels_observed": {n: len(keys) for n, keys in fields.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxel", type=float, nargs="*", default=[0.05, 0.02], help="voxel sizes, m")
    parser.add_argument("--every", type=int, default=1, help="use every K-th frame")
    options = parser.parse_args()
    folder = pathlib.Path(os.environ.get("TESSERA_SHARED", ROOT.parent / "shared")) / "data" / "rgbd-room"
    try:
        import open3d as o3d
    except ImportError:
        print("quality: python3-open3d is not installed; nothing measured")
        return
    if not folder.is_dir():
        print(f"quality: no recording at {folder}; nothing measured")
        return
    k = np.loadtxt(folder / "camera-intrinsics.txt")
    camera = o3d.camera.PinholeCameraIntrinsic(640, 480, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    names = frames(folder, options.every)
    points = np.concatenate([raw_points(o3d, folder, name, k, 8) for name in names])
    for voxel in options.voxel:
        with tempfile.TemporaryDirectory() as scratch:
            file = f"{scratch}/mesh.ply"
            subprocess.run([os.environ["TESSERA_BIN"], "mesh", f"rgbd:{folder}", "--every", str(options.every), "--voxel-size",
                            str(voxel), "--truncation", str(3 * voxel), "-o", file], check=True, capture_output=True)
            meshes = {"tessera": corners(o3d.io.read_triangle_mesh(file)),
                      "open3d": open3d_triangles(o3d, folder, names, voxel, camera)}
            ours = observed_by_tessera(folder, options.every, voxel, scratch)
        distance = {n: distances(o3d, points, t) for n, t in meshes.items()}
        within, nearest, count = pixels_of(o3d, folder, names, k, voxel)
        moved = open3d_triangles(o3d, folder, names, voxel, camera, moved=0.5)
        mesh, in_open3d_mesh = cover_by_mesh(meshes, moved, voxel, within, count)
        field = "bench_observed is not built"
        if ours is not None:
            field = cover_by_field({"tessera": ours, "open3d": observed_by_open3d(o3d, folder, names, voxel, k)}, nearest, count,
                                   in_open3d_mesh)
        print(json.dumps({
            "voxel_m": voxel, "frames": len(names), "points": len(points),
            "median_mm": {n: round(float(np.median(d)) * 1000, 2) for n, d in distance.items()},
            "p95_mm": {n: round(float(np.quantile(d, 0.95)) * 1000, 2) for n, d in distance.items()},
            "triangles": {n: len(t) for n, t in meshes.items()},
            "pixels": int(count.sum()), "mesh": mesh, "field": field}), flush=True)


if __name__ == "__main__":
    main()
