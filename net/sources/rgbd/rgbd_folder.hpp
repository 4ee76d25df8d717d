#pragma once

#include "messages/keyframe.hpp"
#include "net/sources/rgbd/rgbd_options.hpp"

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera {

/// A pinhole camera, pixels. A negative fy is that of images whose y axis points up (ICL-NUIM).
struct pinhole {
  float fx = 0, fy = 0, cx = 0, cy = 0;
};

/// A frame's pose file holds no finite number: tracking was lost there. That is no bad input.
class no_pose : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

/// The files of one frame; a path is empty if the file is missing.
struct rgbd_frame {
  uint64_t number = 0;
  /// frame-000000
  std::string name;
  std::filesystem::path colour, depth, pose;
};

/// A folder of RGB-D frames: `camera-intrinsics.txt` (3 x 3, or 4 x 4; of the depth camera), there or in the folder above, and
/// for each frame `frame-N.color.jpg` or `.png`, `frame-N.depth.png` (16 bit; 0 and 65535: none), `frame-N.pose.txt` (4 x 4,
/// world_from_camera, metres).
class rgbd_folder {
public:
  /// Lists the folder. Throws std::runtime_error if it is none, or has no readable intrinsics or no frames.
  explicit rgbd_folder(std::filesystem::path where);
  [[nodiscard]] const std::filesystem::path& where() const { return where_; }
  [[nodiscard]] const pinhole& camera() const { return camera_; }
  /// By frame number.
  [[nodiscard]] const std::vector<rgbd_frame>& frames() const { return frames_; }
  /// Decodes one frame: every pixel with 0 < depth <= max_depth_m becomes a point, with the colour at its place in the colour
  /// image, which may have another size. Its id is the frame's name, in `how.session`; its timestamp, since the layout knows no
  /// times, is 33,333,333 ns (30 Hz) for each frame up to it. Its camera's y points down: with a negative fy it is turned by half
  /// about the way it looks, and its points are where they were. Throws bad_input that names the file, or no_pose. Threads: any.
  [[nodiscard]] keyframe load(const rgbd_frame& frame, const rgbd_options& how) const;

private:
  std::filesystem::path where_;
  pinhole camera_;
  std::vector<rgbd_frame> frames_;
};

} // namespace tessera
