"""How fast a keyframe becomes a mesh, beside Open3D's scalable TSDF volume on the same frames: one thread each, in turns.

Ours: rays, integrate and incremental extraction of what changed, from points (tessera bench). Open3D's: integrate from the depth
image, then extract_triangle_mesh of the whole map, which is the only extraction it has. Decoding of the images is outside of
both.

Needs python3-open3d and the recording `$TESSERA_SHARED/data/rgbd-room` (default ../shared); says so and ends if one is
missing."""

import argparse
import json
import os
import pathlib
import subprocess
import time

os.environ["OMP_NUM_THREADS"] = "1"  # read when Open3D is loaded

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


def open3d_times(o3d, folder, names, voxel, camera):
    volume = o3d.pipelines.integration.ScalableTSDFVolume(
        voxel_length=voxel, sdf_trunc=3 * voxel, color_type=o3d.pipelines.integration.TSDFVolumeColorType.RGB8)
    integrate, extract = [], []
    for name in names:
        image = o3d.geometry.RGBDImage.create_from_color_and_depth(
            o3d.io.read_image(str(folder / f"{name}.color.jpg")), o3d.io.read_image(str(folder / f"{name}.depth.png")),
            depth_scale=1000, depth_trunc=4, convert_rgb_to_intensity=False)
        camera_from_world = np.linalg.inv(np.loadtxt(folder / f"{name}.pose.txt"))
        start = time.perf_counter()
        volume.integrate(image, camera, camera_from_world)
        between = time.perf_counter()
        volume.extract_triangle_mesh()
        integrate.append(between - start)
        extract.append(time.perf_counter() - between)
    return 1000 * np.median(integrate), 1000 * np.median(extract)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--every", type=int, default=5, help="take every K-th frame (5)")
    parser.add_argument("--voxels", type=float, nargs="*", default=[0.05, 0.02, 0.01], help="voxel sizes in metres")
    options = parser.parse_args()
    folder = pathlib.Path(os.environ.get("TESSERA_SHARED", ROOT.parent / "shared")) / "data" / "rgbd-room"
    if not folder.is_dir():
        return print(f"speed: no recording at {folder}; nothing to compare on")
    try:
        import open3d as o3d
    except ImportError:
        return print("speed: Open3D (python3-open3d) is not installed; nothing to compare with")
    binary = os.environ.get("TESSERA_BIN", str(ROOT / "build" / "release" / "tessera"))
    names = sorted(p.name.split(".")[0] for p in folder.glob("frame-*.color.jpg"))[::options.every]
    k = np.loadtxt(folder / "camera-intrinsics.txt")
    height, width = np.asarray(o3d.io.read_image(str(folder / f"{names[0]}.depth.png"))).shape
    camera = o3d.camera.PinholeCameraIntrinsic(width, height, k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    for voxel in options.voxels:
        ours = json.loads(subprocess.run(
            [binary, "bench", f"rgbd:{folder}", "--every", str(options.every), "--voxel-size", str(voxel), "--truncation",
             str(3 * voxel), "--threads", "1", "--json"], check=True, capture_output=True, text=True).stdout)
        total = ours["stages"]["total"]["median_ms"]
        integrate, extract = open3d_times(o3d, folder, names, voxel, camera)
        print(json.dumps({"voxel_m": voxel, "keyframes": len(names), "tessera_ms": round(total, 2),
                          "open3d_ms": {"integrate": round(integrate, 2), "extract": round(extract, 2)},
                          "open3d_over_tessera": round((integrate + extract) / total, 1)}), flush=True)


if __name__ == "__main__":
    main()
