// What a keyframe costs its producer in C++: writing the segment and making the notification, the consumer's unlink not counted.

#include "net/clients/cpp/producer.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

struct numbers {
  double median_ms, p99_ms;
};

template <class Work, class After>
numbers measure(int times, Work work, After after) {
  std::vector<double> took;
  for (int i = 0; i < times; ++i) {
    auto begin = std::chrono::steady_clock::now();
    work(i);
    took.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
    after();
  }
  std::sort(took.begin(), took.end());
  return {took[took.size() / 2], took[took.size() * 99 / 100]};
}

} // namespace

int main(int argc, char** argv) {
  int times = argc > 1 ? std::atoi(argv[1]) : 200;
  if (times < 1) {
    std::fprintf(stderr, "usage: bench_producer [KEYFRAMES]\n");
    return 2;
  }
  tessera::producer::segment_options options;
  options.prefix = "/tessera_bench_" + std::to_string(::getpid()) + "_";
  tessera::producer::segment_writer writer(options);
  std::string json = "{";
  std::printf("%8s  %-12s%10s%10s   ms per keyframe\n", "points", "what", "median", "p99");
  for (size_t count : {size_t{50'000}, size_t{300'000}}) {
    std::vector<float> points(3 * count);
    for (size_t i = 0; i < points.size(); ++i)
      points[i] = std::sin(static_cast<float>(i)) * 4;
    std::vector<uint8_t> colours(3 * count, 128);
    tessera::producer::keyframe frame;
    frame.points = points.data();
    frame.colours = colours.data();
    frame.count = count;
    std::string key;
    size_t note_bytes = 0;
    auto publish = measure(
      times,
      [&](int i) {
        frame.id = std::to_string(i);
        tessera::producer::layout bytes(frame);
        key = writer.write(frame.id, bytes);
        note_bytes += tessera::producer::new_keyframe(frame, key, bytes).size();
      },
      [&] { writer.discard(key); });
    float seen = 0;
    auto bounds = measure(
      times, [&](int) { seen += tessera::producer::bounds(points.data(), count)[0]; }, [] {});
    if (note_bytes == 0 || seen == 0)
      return 1;
    std::printf("%8zu  %-12s%10.3f%10.3f\n", count, "publish", publish.median_ms, publish.p99_ms);
    std::printf("%8zu  %-12s%10.3f%10.3f\n", count, "bounds only", bounds.median_ms, bounds.p99_ms);
    char text[200];
    std::snprintf(text, sizeof text,
                  "%s\"%zu\": {\"publish_median_ms\": %.3f, \"publish_p99_ms\": %.3f, \"bounds_median_ms\": %.3f}",
                  json.size() > 1 ? ", " : "", count, publish.median_ms, publish.p99_ms, bounds.median_ms);
    json += text;
  }
  std::printf("%s}\n", json.c_str());
}
