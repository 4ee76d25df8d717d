// What cannot be unpacked for want of memory is not bad.

#include "net/base/bad_input.hpp"
#include "net/formats/image_jpeg.hpp"
#include "net/formats/image_png.hpp"
#include "net/formats/mcap_chunk.hpp"
#include "rgbd_files.hpp"

#include <catch2/catch.hpp>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <new>
#include <string>

using namespace tessera;
using testing::rgbd_files;

namespace {

enum ending : int { done, no_memory, bad, other };

/// Takes what malloc has in store, so that it has to ask the system for more.
void empty_the_heap() {
  void* (*const volatile take)(size_t) = std::malloc; // which the compiler must not leave out
  for (size_t bytes = 1 << 16; bytes >= 16; bytes /= 2)
    while (take(bytes) != nullptr)
      ;
}

/// What comes of something in a process that gets so many bytes more. It is done before that, so that all its code is there.
ending with_memory_of(size_t bytes, const std::function<void()>& work) {
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    size_t pages = 0;
    std::ifstream{"/proc/self/statm"} >> pages;
    const auto now = pages * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    rlimit limit{};
    ::getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = now;
    ::setrlimit(RLIMIT_AS, &limit);
    empty_the_heap();
    limit.rlim_cur = now + bytes;
    ::setrlimit(RLIMIT_AS, &limit);
    try {
      work();
      ::_exit(done);
    } catch (const bad_input&) {
      ::_exit(bad);
    } catch (const std::bad_alloc&) {
      ::_exit(no_memory);
    } catch (...) {
      ::_exit(other);
    }
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return static_cast<ending>(WEXITSTATUS(status));
}

/// Tries it with ever more memory, until it is enough; never may it be called bad.
void expect_no_fault(const std::function<void()>& work) {
  work();
  int short_of = 0;
  for (size_t bytes = 0; bytes < size_t{16} << 20; bytes += size_t{16} << 10) {
    const auto how = with_memory_of(bytes, work);
    CAPTURE(bytes);
    REQUIRE((how == done || how == no_memory));
    if (how == done)
      break;
    ++short_of;
  }
  CHECK(short_of > 0);
}

} // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // which need the address space for themselves
TEST_CASE("an image or a chunk for which there is no memory is not bad") {
  SECTION("PNG") {
    const auto file = rgbd_files::colour_png(600, 40, {10, 20, 30});
    expect_no_fault([&] { (void)decode_png_colour(file); });
  }
  SECTION("JPEG") {
    const auto file = rgbd_files::colour_jpeg(600, 40, {10, 20, 30});
    expect_no_fault([&] { (void)decode_jpeg_colour(file); });
  }
  for (const auto how : {mcap::packing::lz4, mcap::packing::zstd})
    DYNAMIC_SECTION("a chunk in " << to_string(how)) {
      std::string records(100'000, '\0');
      for (size_t i = 0; i < records.size(); ++i)
        records[i] = static_cast<char>(i * i >> 7);
      const auto packed = mcap::pack(records, how);
      mcap::chunk one;
      one.unpacked_bytes = records.size();
      one.compression = to_string(how);
      one.records = packed;
      expect_no_fault([&] { (void)mcap::unpack(one); });
    }
}
#endif
