// What a camera's pose says beside where it stands: a similarity has a scale, which is nothing to draw.

/// A pose's scale (row-major, 4 x 4): the length of its first three columns. 1 for a rotation that was rounded, as in the service
/// (messages/pose.hpp).
export function scale_of(pose: Float64Array): number {
  let sum = 0;
  for (const i of [0, 1, 2, 4, 5, 6, 8, 9, 10]) sum += pose[i] * pose[i];
  const squared = sum / 3;
  return Math.abs(squared - 1) <= 1e-3 ? 1 : Math.sqrt(squared);
}
