#include "rgbd_files.hpp"

#include <cstdio>

#include <jpeglib.h>
#include <png.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace tessera::testing {

namespace fs = std::filesystem;

rgbd_files::rgbd_files() {
  auto pattern = (fs::temp_directory_path() / "tessera-rgbd-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr)
    throw std::runtime_error("cannot make a temporary folder");
  path_ = pattern;
}

rgbd_files::~rgbd_files() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void rgbd_files::write(const std::string& file, const std::vector<std::byte>& bytes) const {
  write(file, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void rgbd_files::write(const std::string& file, const std::string& text) const {
  fs::create_directories((path_ / file).parent_path());
  std::ofstream(path_ / file, std::ios::binary) << text;
}

void rgbd_files::write_camera(float fx, float fy, float cx, float cy) const {
  write("camera-intrinsics.txt",
        std::to_string(fx) + " 0 " + std::to_string(cx) + "\n0 " + std::to_string(fy) + " " + std::to_string(cy) + "\n0 0 1\n");
}

void rgbd_files::write_frame(int number) const {
  write_camera(100, 100, 4, 3);
  char name[32];
  std::snprintf(name, sizeof name, "frame-%06d", number);
  write(std::string(name) + ".depth.png", depth_png(8, 6, [](uint32_t, uint32_t) { return uint16_t{1500}; }));
  write(std::string(name) + ".color.jpg", colour_jpeg(8, 6, {50, 100, 150}));
  write(std::string(name) + ".pose.txt", std::string("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"));
}

namespace {

std::vector<std::byte> encode_png(uint32_t width, uint32_t height, int bits, int type, const std::vector<uint8_t>& rows) {
  std::vector<std::byte> out;
  auto* png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  auto* info = png_create_info_struct(png);
  png_set_write_fn(
    png, &out,
    [](png_structp p, png_bytep data, size_t size) {
      auto& to = *static_cast<std::vector<std::byte>*>(png_get_io_ptr(p));
      const auto* from = reinterpret_cast<const std::byte*>(data);
      to.insert(to.end(), from, from + size);
    },
    nullptr);
  png_set_IHDR(png, info, width, height, bits, type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  size_t row = rows.size() / height;
  for (uint32_t y = 0; y < height; ++y)
    png_write_row(png, rows.data() + y * row);
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return out;
}

std::vector<uint8_t> repeated(uint32_t pixels, const std::vector<uint8_t>& pixel) {
  std::vector<uint8_t> rows;
  for (uint32_t i = 0; i < pixels; ++i)
    rows.insert(rows.end(), pixel.begin(), pixel.end());
  return rows;
}

} // namespace

std::vector<std::byte> rgbd_files::depth_png(uint32_t width, uint32_t height,
                                             const std::function<uint16_t(uint32_t, uint32_t)>& at) {
  std::vector<uint8_t> rows;
  for (uint32_t v = 0; v < height; ++v)
    for (uint32_t u = 0; u < width; ++u) {
      rows.push_back(static_cast<uint8_t>(at(u, v) >> 8));
      rows.push_back(static_cast<uint8_t>(at(u, v) & 255));
    }
  return encode_png(width, height, 16, PNG_COLOR_TYPE_GRAY, rows);
}

std::vector<std::byte> rgbd_files::colour_png(uint32_t width, uint32_t height, const std::vector<uint8_t>& pixel) {
  int type = pixel.size() == 1 ? PNG_COLOR_TYPE_GRAY : pixel.size() == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGB_ALPHA;
  return encode_png(width, height, 8, type, repeated(width * height, pixel));
}

std::vector<std::byte> rgbd_files::halved_png(uint32_t width, uint32_t height, const std::vector<uint8_t>& left,
                                              const std::vector<uint8_t>& right) {
  std::vector<uint8_t> rows;
  for (uint32_t y = 0; y < height; ++y)
    for (uint32_t x = 0; x < width; ++x) {
      const auto& pixel = 2 * x < width ? left : right;
      rows.insert(rows.end(), pixel.begin(), pixel.end());
    }
  return encode_png(width, height, 8, PNG_COLOR_TYPE_RGB, rows);
}

std::vector<std::byte> rgbd_files::colour_jpeg(uint32_t width, uint32_t height, const std::vector<uint8_t>& pixel, int sampling) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &data, &size);
  jpeg.image_width = width;
  jpeg.image_height = height;
  jpeg.input_components = static_cast<int>(pixel.size());
  jpeg.in_color_space = pixel.size() == 1 ? JCS_GRAYSCALE : pixel.size() == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&jpeg);
  jpeg.comp_info[0].h_samp_factor = sampling;
  jpeg.comp_info[0].v_samp_factor = 2;
  jpeg_start_compress(&jpeg, TRUE);
  auto row = repeated(width, pixel);
  for (uint32_t y = 0; y < height; ++y) {
    JSAMPROW at = row.data();
    jpeg_write_scanlines(&jpeg, &at, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::vector<std::byte> out(size);
  std::memcpy(out.data(), data, size);
  std::free(data);
  return out;
}

} // namespace tessera::testing
