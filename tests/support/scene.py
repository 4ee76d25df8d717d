"""A small recording of a box-shaped room, made here: an RGB-D folder on disk, and the same keyframes as arrays."""

import struct
import zlib

import numpy as np

WIDTH, HEIGHT, FOCAL = 96, 72, 80.0
ROOM = np.array([2.0, 1.5, 1.2])  # half of its size, metres; the origin is in the middle


def write_png(path, image):
    """8-bit RGB or 16-bit grey."""
    height, width = image.shape[:2]
    grey = image.ndim == 2
    rows = image.astype(">u2" if grey else np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16 if grey else 8, 0 if grey else 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 1)) + chunk(b"IEND", b""))


class Frame:
    """One keyframe: id, pose (4 x 4 float32), points (N x 3 float32), colours (N x 3 uint8)."""

    def __init__(self, number):
        self.id = f"frame-{number:06d}"
        self.number = number
        angle = 0.45 * number
        right = np.array([np.cos(angle), -np.sin(angle), 0])
        ahead = np.array([np.sin(angle), np.cos(angle), 0])
        down = np.array([0, 0, -1.0])
        pose = np.eye(4)
        pose[:3, :3] = np.stack((right, down, ahead), axis=1)
        pose[:3, 3] = 0.3 * np.cos(angle), 0.2 * np.sin(angle), 0.1
        self.pose = pose.astype(np.float32)
        self._see()

    def _see(self):
        u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
        rays = np.stack(((u - WIDTH / 2) / FOCAL, (v - HEIGHT / 2) / FOCAL, np.ones_like(u, dtype=float)), axis=-1)
        world = rays @ self.pose[:3, :3].T.astype(float)
        origin = self.pose[:3, 3].astype(float)
        along = np.where(world == 0, np.nan, world)  # a ray along a wall never meets it
        walls = (np.sign(world) * ROOM - origin) / along
        self.depth_mm = np.rint(np.nanmin(walls, axis=-1) * 1000).astype(np.uint16)
        self.depth_mm[:, 3] = 0  # pixels without depth, as real cameras have
        hit = origin + world * self.depth_mm[..., None] / 1000.0
        self.image = (127 + 120 * np.sin(hit * (3.0, 4.0, 5.0))).astype(np.uint8)
        # The service's own arithmetic, in the same order and width: these are the points it makes of the folder, bit for bit.
        f = np.float32
        z = self.depth_mm.astype(f) * f(0.001)
        x = (u.astype(f) - f(WIDTH / 2)) / f(FOCAL) * z
        y = (v.astype(f) - f(HEIGHT / 2)) / f(FOCAL) * z
        m = self.pose
        points = np.stack([m[a, 0] * x + m[a, 1] * y + m[a, 2] * z + m[a, 3] for a in range(3)], axis=-1)
        seen = self.depth_mm > 0
        self.points = np.ascontiguousarray(points[seen])
        self.colours = np.ascontiguousarray(self.image[seen])


def frames(count=8):
    return [Frame(i) for i in range(count)]


def write_folder(folder, recorded):
    """Writes the frames as an RGB-D folder."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "camera-intrinsics.txt", [[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    for frame in recorded:
        write_png(folder / f"{frame.id}.color.png", frame.image)
        write_png(folder / f"{frame.id}.depth.png", frame.depth_mm)
        np.savetxt(folder / f"{frame.id}.pose.txt", frame.pose.astype(float), fmt="%.17g")
    return folder
