"""How good is the mesh of real frames beside Open3D's mesh of the same frames: two figures.

Nearness: the median distance of the raw points to each mesh. Cover: of the pixels in whose neighbourhood (3 x 3 x 3 voxels around the
voxel of its point) Open3D's mesh has any part of a triangle, the share where ours has one too, and the other way round.

Needs python3-open3d and the recording `$TESSERA_SHARED/data/rgbd-room` (default ../shared); says so and ends if one is missing."""

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


def open3d_mesh(o3d, folder, names, voxel, camera):
    volume = o3d.pipelines.integration.ScalableTSDFVolume(
        voxel_length=voxel, sdf_trunc=3 * voxel, color_type=o3d.pipelines.integration.TSDFVolumeColorType.RGB8)
    for name in names:
        image = o3d.geometry.RGBDImage.create_from_color_and_depth(
            o3d.io.read_image(str(folder / f"{name}.color.jpg")), o3d.io.read_image(str(folder / f"{name}.depth.png")),
            depth_scale=1000, depth_trunc=4, convert_rgb_to_intensity=False)
        volume.integrate(image, camera, np.linalg.inv(np.loadtxt(folder / f"{name}.pose.txt")))
    return volume.extract_triangle_mesh()


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
    """Keys of the voxels [v, v + 1) that a triangle passes through: separating axes of a box and a triangle (Akenine-Moeller 2001)."""
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


def neighbourhoods(keys):
    """Keys of all voxels whose 3 x 3 x 3 neighbourhood has one of these."""
    steps = np.array([key(np.array(s) - 1) - key(np.zeros(3, np.int64)) for s in np.ndindex(3, 3, 3)])
    return np.unique((keys[:, None] + steps).reshape(-1))


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
            subprocess.run([os.environ["TESSERA_BIN"], "mesh", f"rgbd:{folder}", "--every", str(options.every), "--voxel-size", str(voxel),
                            "--truncation", str(3 * voxel), "-o", file], check=True, capture_output=True)
            meshes = {"tessera": corners(o3d.io.read_triangle_mesh(file)),
                      "open3d": corners(open3d_mesh(o3d, folder, names, voxel, camera))}
        distance = {n: distances(o3d, points, t) for n, t in meshes.items()}
        cover = {n: neighbourhoods(touched(t, voxel)) for n, t in meshes.items()}
        pixels = {"all": 0, "tessera": 0, "open3d": 0, "both": 0}
        for name in names:
            at, count = np.unique(key(np.floor(raw_points(o3d, folder, name, k, 1) / voxel).astype(np.int64)), return_counts=True)
            ours, theirs = np.isin(at, cover["tessera"]), np.isin(at, cover["open3d"])
            for n, which in (("all", slice(None)), ("tessera", ours), ("open3d", theirs), ("both", ours & theirs)):
                pixels[n] += int(count[which].sum())
        print(json.dumps({
            "voxel_m": voxel, "frames": len(names), "points": len(points),
            "median_mm": {n: round(float(np.median(d)) * 1000, 2) for n, d in distance.items()},
            "p95_mm": {n: round(float(np.quantile(d, 0.95)) * 1000, 2) for n, d in distance.items()},
            "pixels": pixels["all"],
            "covered": {n: round(pixels[n] / pixels["all"], 6) for n in meshes},
            "of_open3d_covered_by_tessera": round(pixels["both"] / pixels["open3d"], 6),
            "of_tessera_covered_by_open3d": round(pixels["both"] / pixels["tessera"], 6),
            "triangles": {n: len(t) for n, t in meshes.items()}}), flush=True)


if __name__ == "__main__":
    main()
