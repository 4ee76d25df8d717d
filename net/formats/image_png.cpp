#include "net/formats/image_png.hpp"

#include "net/base/bad_input.hpp"

#include <png.h>

#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace tessera {

namespace {

/// Reads one PNG from memory. libpng reports errors by a jump: it lands in step(), above which no frame of
/// ours owns anything.
class png_reader {
public:
  explicit png_reader(std::span<const std::byte> file) : rest_(file) {
    png_ = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, this, on_error, on_warning, this, on_malloc, on_free);
    if (png_ == nullptr)
      throw std::bad_alloc();
    info_ = png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw std::bad_alloc();
    }
    png_set_read_fn(png_, this, on_read);
    png_set_user_limits(png_, max_image_edge, max_image_edge);
    png_set_chunk_malloc_max(png_, 8 << 20);
  }
  ~png_reader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  png_reader(const png_reader&) = delete;
  png_reader& operator=(const png_reader&) = delete;

  void read_info() {
    step([](png_reader& r) { png_read_info(r.png_, r.info_); });
    width = png_get_image_width(png_, info_);
    height = png_get_image_height(png_, info_);
    bits = png_get_bit_depth(png_, info_);
    colour_type = png_get_color_type(png_, info_);
    if (uint64_t{width} * height > max_image_pixels)
      throw bad_input("the image has " + std::to_string(width) + " x " + std::to_string(height) + " pixels, at most "
                      + std::to_string(max_image_pixels) + " are read");
  }

  void ask_for_rgb() {
    step([](png_reader& r) {
      png_set_expand(r.png_);
      png_set_scale_16(r.png_);
      png_set_strip_alpha(r.png_);
      if ((r.colour_type & PNG_COLOR_MASK_COLOR) == 0)
        png_set_gray_to_rgb(r.png_);
    });
  }

  void ask_for_host_order() {
    step([](png_reader& r) { png_set_swap(r.png_); }); // PNG is big-endian, we are not
  }

  /// `rows` points to height rows of row_bytes each.
  void read_rows(uint8_t* rows, size_t row_bytes) {
    rows_ = rows;
    row_bytes_ = row_bytes;
    step([](png_reader& r) {
      int passes = png_set_interlace_handling(r.png_);
      png_read_update_info(r.png_, r.info_);
      if (png_get_rowbytes(r.png_, r.info_) != r.row_bytes_)
        png_error(r.png_, "rows of an unexpected size");
      for (int pass = 0; pass < passes; ++pass)
        for (uint32_t y = 0; y < r.height; ++y)
          png_read_row(r.png_, r.rows_ + y * r.row_bytes_, nullptr);
      png_read_end(r.png_, nullptr);
    });
  }

  uint32_t width = 0, height = 0;
  int bits = 0, colour_type = 0;

private:
  void step(void (*action)(png_reader&)) {
    if (setjmp(jump_) != 0) {
      if (no_memory_)
        throw std::bad_alloc();
      throw bad_input(std::string("the PNG cannot be read: ") + message_);
    }
    action(*this);
  }

  static void on_error(png_structp png, png_const_charp message) {
    auto& self = *static_cast<png_reader*>(png_get_error_ptr(png));
    std::strncpy(self.message_, message, sizeof self.message_ - 1);
    longjmp(self.jump_, 1);
  }
  // libpng reports want of memory by a text like any other: so it is noted where it arises.
  static png_voidp on_malloc(png_structp png, png_alloc_size_t bytes) {
    auto* out = std::malloc(bytes);
    if (out == nullptr)
      static_cast<png_reader*>(png_get_mem_ptr(png))->no_memory_ = true;
    return out;
  }
  static void on_free(png_structp, png_voidp piece) { std::free(piece); }
  static void on_warning(png_structp, png_const_charp) {} // The pixels are whole: nothing to tell.
  static void on_read(png_structp png, png_bytep to, size_t bytes) {
    auto& self = *static_cast<png_reader*>(png_get_io_ptr(png));
    if (bytes > self.rest_.size())
      png_error(png, "the file ends too early");
    std::memcpy(to, self.rest_.data(), bytes);
    self.rest_ = self.rest_.subspan(bytes);
  }

  std::span<const std::byte> rest_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf jump_{};
  char message_[128] = {};
  uint8_t* rows_ = nullptr;
  size_t row_bytes_ = 0;
  bool no_memory_ = false;
};

/// Writes one PNG to memory. Errors as those of png_reader.
class png_writer {
public:
  png_writer() {
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    if (png_ == nullptr)
      throw std::bad_alloc();
    info_ = png_create_info_struct(png_);
    if (info_ == nullptr) {
      png_destroy_write_struct(&png_, nullptr);
      throw std::bad_alloc();
    }
    png_set_write_fn(png_, this, on_write, [](png_structp) {});
  }
  ~png_writer() { png_destroy_write_struct(&png_, &info_); }
  png_writer(const png_writer&) = delete;
  png_writer& operator=(const png_writer&) = delete;

  std::vector<std::byte> write(const colour_image& image) {
    image_ = &image;
    if (setjmp(jump_) != 0)
      throw std::bad_alloc(); // nothing else can fail here
    write_all();
    return std::move(out_);
  }

private:
  void write_all() {
    png_set_IHDR(png_, info_, image_->width, image_->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_filter(png_, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE | PNG_FILTER_SUB | PNG_FILTER_UP);
    png_write_info(png_, info_);
    for (uint32_t y = 0; y < image_->height; ++y)
      png_write_row(png_, image_->rgb.data() + size_t{3} * y * image_->width);
    png_write_end(png_, nullptr);
  }

  static void on_error(png_structp png, png_const_charp) { longjmp(static_cast<png_writer*>(png_get_error_ptr(png))->jump_, 1); }
  static void on_warning(png_structp, png_const_charp) {}
  static void on_write(png_structp png, png_bytep data, size_t bytes) {
    auto& out = static_cast<png_writer*>(png_get_io_ptr(png))->out_;
    const auto had = out.size();
    try {
      out.resize(had + bytes);
    } catch (const std::bad_alloc&) {
      bytes = 0;
    }
    if (bytes == 0)
      png_error(png, "no memory");
    std::memcpy(out.data() + had, data, bytes);
  }

  const colour_image* image_ = nullptr;
  std::vector<std::byte> out_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf jump_{};
};

} // namespace

std::vector<std::byte> encode_png(const colour_image& image) {
  if (image.width == 0 || image.height == 0 || image.width > max_image_edge || image.height > max_image_edge
      || uint64_t{image.width} * image.height > max_image_pixels)
    throw std::invalid_argument("an image of " + std::to_string(image.width) + " x " + std::to_string(image.height)
                                + " pixels; its edges can be 1 to " + std::to_string(max_image_edge) + ", and it can have "
                                + std::to_string(max_image_pixels) + " at most");
  return png_writer().write(image);
}

bool is_png(std::span<const std::byte> file) {
  return file.size() >= 8 && png_sig_cmp(reinterpret_cast<png_const_bytep>(file.data()), 0, 8) == 0;
}

colour_image decode_png_colour(std::span<const std::byte> file) {
  png_reader reader(file);
  reader.read_info();
  reader.ask_for_rgb();
  colour_image image{reader.width, reader.height, {}};
  image.rgb.resize(size_t{3} * image.width * image.height);
  reader.read_rows(image.rgb.data(), size_t{3} * image.width);
  return image;
}

depth_image decode_png_depth(std::span<const std::byte> file) {
  png_reader reader(file);
  reader.read_info();
  if (reader.colour_type != PNG_COLOR_TYPE_GRAY || reader.bits != 16)
    throw bad_input("a depth image must have one channel of 16 bits, this PNG has "
                    + std::string(reader.colour_type == PNG_COLOR_TYPE_GRAY ? "one" : "several or a palette") + " of "
                    + std::to_string(reader.bits));
  reader.ask_for_host_order();
  depth_image image{reader.width, reader.height, {}};
  image.values.resize(size_t{image.width} * image.height);
  reader.read_rows(reinterpret_cast<uint8_t*>(image.values.data()), size_t{2} * image.width);
  return image;
}

} // namespace tessera
