#include "net/formats/image_jpeg.hpp"

#include "net/base/bad_input.hpp"

#include <cstdio>

#include <jpeglib.h>

// After it: which numbers its codes have depends on JPEG_LIB_VERSION, which jpeglib.h defines, and which is 80 on Ubuntu.
#include <jerror.h>

#include <csetjmp>
#include <cstring>
#include <new>
#include <string>

namespace tessera {

namespace {

/// Reads one JPEG from memory. TurboJPEG's short calls will not do: they tell the first warning alone, so that a file that was
/// padded hides that it was cut, and in version 2 they know few ways of sampling colours. libjpeg reports errors by a call that
/// must not return: it jumps to step(), above which no frame of ours owns anything.
class jpeg_reader {
public:
  explicit jpeg_reader(std::span<const std::byte> file) : file_(file) {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = on_error;
    errors_.emit_message = on_message;
    step([](jpeg_reader& r) {
      jpeg_create_decompress(&r.info_);
      jpeg_mem_src(&r.info_, reinterpret_cast<const unsigned char*>(r.file_.data()), static_cast<unsigned long>(r.file_.size()));
    });
  }
  ~jpeg_reader() { jpeg_destroy_decompress(&info_); }
  jpeg_reader(const jpeg_reader&) = delete;
  jpeg_reader& operator=(const jpeg_reader&) = delete;

  void read_header() {
    step([](jpeg_reader& r) {
      jpeg_read_header(&r.info_, TRUE);
      r.info_.out_color_space = JCS_RGB;
    });
    if (info_.image_width > max_image_edge || info_.image_height > max_image_edge
        || uint64_t{info_.image_width} * info_.image_height > max_image_pixels)
      throw bad_input("the image has " + std::to_string(info_.image_width) + " x " + std::to_string(info_.image_height)
                      + " pixels, at most " + std::to_string(max_image_pixels) + " are read");
  }

  /// `rows` has room for 3 x width x height bytes.
  void read_rows(uint8_t* rows) {
    rows_ = rows;
    step([](jpeg_reader& r) {
      jpeg_start_decompress(&r.info_);
      while (r.info_.output_scanline < r.info_.output_height) {
        JSAMPROW row = r.rows_ + size_t{3} * r.info_.output_scanline * r.info_.output_width;
        jpeg_read_scanlines(&r.info_, &row, 1);
      }
      jpeg_finish_decompress(&r.info_);
    });
    // A corrupt or cut stream is patched up with grey and only warned of.
    if (errors_.num_warnings > 0)
      throw bad_input(std::string("the JPEG is damaged: ") + message_);
  }

  [[nodiscard]] uint32_t width() const { return info_.image_width; }
  [[nodiscard]] uint32_t height() const { return info_.image_height; }

private:
  void step(void (*action)(jpeg_reader&)) {
    if (setjmp(jump_) != 0) {
      if (errors_.msg_code == JERR_OUT_OF_MEMORY)
        throw std::bad_alloc();
      throw bad_input(std::string("the JPEG cannot be read: ") + message_);
    }
    action(*this);
  }

  static void on_error(j_common_ptr info) {
    auto& self = *static_cast<jpeg_reader*>(info->client_data);
    self.errors_.format_message(info, self.message_);
    longjmp(self.jump_, 1);
  }
  static void on_message(j_common_ptr info, int level) {
    if (level >= 0)
      return; // a trace
    if (info->err->msg_code == JWRN_EXTRANEOUS_DATA)
      return; // bytes between markers: some cameras pad so, and no pixel is lost
    auto& self = *static_cast<jpeg_reader*>(info->client_data);
    if (self.errors_.num_warnings++ == 0)
      self.errors_.format_message(info, self.message_);
    // A hostile stream can make a progressive decoder warn for minutes.
    if (self.errors_.num_warnings > 100)
      longjmp(self.jump_, 1);
  }

  std::span<const std::byte> file_;
  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  std::jmp_buf jump_{};
  char message_[JMSG_LENGTH_MAX] = {};
  uint8_t* rows_ = nullptr;
};

} // namespace

bool is_jpeg(std::span<const std::byte> file) {
  return file.size() >= 3 && file[0] == std::byte{0xff} && file[1] == std::byte{0xd8} && file[2] == std::byte{0xff};
}

colour_image decode_jpeg_colour(std::span<const std::byte> file) {
  jpeg_reader reader(file);
  reader.read_header();
  colour_image image{reader.width(), reader.height(), {}};
  image.rgb.resize(size_t{3} * image.width * image.height);
  reader.read_rows(image.rgb.data());
  return image;
}

} // namespace tessera
