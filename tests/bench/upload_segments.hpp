#pragma once
// Keyframes in POSIX shared memory: written as producers write them, mapped as the service maps them.

#include "net/clients/cpp/producer.hpp"
#include "upload_clock.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <future>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace tessera::bench {

/// A keyframe of random points; each one written differs in its first word.
class producer {
public:
  explicit producer(size_t points) : points_(3 * points), colours_(3 * points) {
    uint32_t random = 1;
    const auto next = [&] { return random = random * 1664525u + 1013904223u; };
    for (float& v : points_)
      v = static_cast<float>(next() >> 8) * 1e-6f;
    for (uint8_t& v : colours_)
      v = static_cast<uint8_t>(next() >> 24);
    points_[0] = 0;
    std::vector<uint32_t> words(bytes() / 4);
    const size_t first = 12 * points;
    std::memcpy(words.data(), points_.data(), first);
    std::memcpy(words.data() + first / 4, colours_.data(), 4 * words.size() - first);
    for (const uint32_t word : words)
      sum_ += word;
    frame_.points = points_.data();
    frame_.colours = colours_.data();
    frame_.count = points;
    frame_.bbox = tessera::producer::bounds(points_.data(), points);
  }
  /// Points and colours, which lie one after the other at a segment's end.
  [[nodiscard]] size_t bytes() const { return 5 * points_.size(); }

  /// Writes a segment from another thread, as it comes from another process. Returns its name and the sum of its words.
  std::pair<std::string, uint64_t> write() {
    const auto number = static_cast<uint32_t>(++number_);
    std::memcpy(points_.data(), &number, sizeof number); // a tiny float
    frame_.id = std::to_string(number);
    return {std::async(std::launch::async, [&] { return writer_.write(frame_); }).get(), sum_ + number};
  }

private:
  static tessera::producer::segment_options options() {
    tessera::producer::segment_options o;
    o.prefix = "/tessera_bench_" + std::to_string(::getpid()) + "_";
    return o;
  }
  std::vector<float> points_;
  std::vector<uint8_t> colours_;
  tessera::producer::keyframe frame_;
  tessera::producer::segment_writer writer_{options()};
  uint64_t sum_ = 0;
  int number_ = 0;
};

/// A segment, mapped as net/sources/shm/shm_segment.cpp does, and unlinked at once.
class segment {
public:
  segment(const std::string& name, bool populate, bool writable) {
    const auto begin = clock::now();
    const int file = ::shm_open(name.c_str(), (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK, 0);
    struct stat state {};
    if (file >= 0 && ::fstat(file, &state) == 0) {
      bytes_ = static_cast<size_t>(state.st_size);
      at_ = ::mmap(nullptr, bytes_, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED | (populate ? MAP_POPULATE : 0),
                   file, 0);
    }
    const int error = errno;
    mapped_us = us_since(begin);
    if (file >= 0)
      ::close(file);
    ::shm_unlink(name.c_str());
    if (at_ == MAP_FAILED)
      throw std::system_error(error, std::generic_category(), "cannot map the segment " + name);
  }
  ~segment() { ::munmap(at_, bytes_); }
  segment(const segment&) = delete;
  segment& operator=(const segment&) = delete;

  [[nodiscard]] void* data() const { return at_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  double mapped_us = 0;

private:
  void* at_ = MAP_FAILED;
  size_t bytes_ = 0;
};

} // namespace tessera::bench
