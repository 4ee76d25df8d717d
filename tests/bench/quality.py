"""How near is the mesh to what was measured: the median distance of the raw points to our mesh and to Open3D's mesh of the same frames.

Also which part of the points Open3D's mesh comes near (within a voxel and a half) ours does too. Needs python3-open3d and the recording
`$TESSERA_SHARED/data/rgbd-room` (default ../shared); says so and ends if one is missing."""

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


def raw_points(o3d, folder, names, k, step):
    """World coordinates, metres, of every step-th pixel in both directions."""
    out = []
    for name in names:
        depth = np.asarray(o3d.io.read_image(str(folder / f"{name}.depth.png")))[::step, ::step].astype(np.float64) / 1000
        v, u = np.nonzero((depth > 0) & (depth <= 4))
        z = depth[v, u]
        camera = np.stack(((u * step - k[0, 2]) * z / k[0, 0], (v * step - k[1, 2]) * z / k[1, 1], z, np.ones_like(z)))
        out.append((np.loadtxt(folder / f"{name}.pose.txt") @ camera)[:3].T)
    return np.concatenate(out)


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
    points = raw_points(o3d, folder, names, k, 8)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    for voxel in options.voxel:
        with tempfile.TemporaryDirectory() as scratch:
            file = f"{scratch}/mesh.ply"
            subprocess.run([os.environ["TESSERA_BIN"], "mesh", f"rgbd:{folder}", "--every", str(options.every), "--voxel-size", str(voxel),
                            "--truncation", str(3 * voxel), "-o", file], check=True, capture_output=True)
            meshes = {"tessera": o3d.io.read_triangle_mesh(file), "open3d": open3d_mesh(o3d, folder, names, voxel, camera)}
        distance = {}
        for name, mesh in meshes.items():
            # Distances to a dense sampling of the mesh: Debian's ray casting scene stops at an assertion of its own.
            area = mesh.get_surface_area()
            samples = mesh.sample_points_uniformly(int(min(8e6, max(1e6, area / (0.1 * voxel) ** 2))))
            distance[name] = np.asarray(cloud.compute_point_cloud_distance(samples))
        near = distance["open3d"] < 1.5 * voxel
        print(json.dumps({
            "voxel_m": voxel, "frames": len(names), "points": len(points),
            "median_mm": {n: round(float(np.median(d)) * 1000, 2) for n, d in distance.items()},
            "p95_mm": {n: round(float(np.quantile(d, 0.95)) * 1000, 2) for n, d in distance.items()},
            "covered_of_open3d": round(float((distance["tessera"][near] < 1.5 * voxel).mean()), 6),
            "triangles": {n: len(m.triangles) for n, m in meshes.items()}}))


if __name__ == "__main__":
    main()
