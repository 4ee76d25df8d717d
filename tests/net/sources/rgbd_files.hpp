#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tessera::testing {

/// A temporary folder, and encoders for what RGB-D folders hold. Cleans up.
class rgbd_files {
public:
  rgbd_files();
  ~rgbd_files();
  rgbd_files(const rgbd_files&) = delete;
  rgbd_files& operator=(const rgbd_files&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  void write(const std::string& file, const std::vector<std::byte>& bytes) const;
  void write(const std::string& file, const std::string& text) const;
  void write_camera(float fx, float fy, float cx, float cy) const;
  /// A good frame of 8 x 6 pixels (and the camera).
  void write_frame(int number) const;

  static std::vector<std::byte> depth_png(uint32_t width, uint32_t height, const std::function<uint16_t(uint32_t, uint32_t)>& at);
  /// 8 bits; one channel (grey), three (RGB) or four (RGBA), all pixels equal.
  static std::vector<std::byte> colour_png(uint32_t width, uint32_t height, const std::vector<uint8_t>& pixel);
  /// 8 bits, three channels: one colour left, another right.
  static std::vector<std::byte> halved_png(uint32_t width, uint32_t height, const std::vector<uint8_t>& left,
                                           const std::vector<uint8_t>& right);
  /// One channel (grey), three (RGB) or four (CMYK), all pixels equal. Of the first channel so many samples lie side by side
  /// where the others have one, and twice as many in all.
  static std::vector<std::byte> colour_jpeg(uint32_t width, uint32_t height, const std::vector<uint8_t>& pixel, int sampling = 2);

private:
  std::filesystem::path path_;
};

} // namespace tessera::testing
