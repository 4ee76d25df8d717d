// What comes of one attempt at a message, without a broker.

#include "net/sources/amqp/amqp_reader.hpp"

#include "recording_sink.hpp"
#include "shm_name.hpp"
#include "tests/support/segment_bytes.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <chrono>
#include <new>
#include <string>
#include <thread>
#include <vector>

using namespace tessera;
using testing::recording_sink;
using testing::segment_bytes;
using testing::shm_name;

namespace {

/// A reader, and what it says.
struct reading {
  explicit reading(keyframe_sink& to, const std::string& prefix = shm_name::own_prefix())
    : options{options_for(prefix)}, sink(to) {}

  static amqp_options options_for(const std::string& prefix) {
    amqp_options out;
    out.shm_prefix = prefix;
    return out;
  }

  /// Has a message tried, and waits for the result.
  errand_result attempt(const errand_ptr& e) {
    reader.put(e);
    for (int i = 0; i < 30'000; ++i) {
      if (auto results = desk->take(); !results.empty())
        return results.front();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    FAIL("no result");
    return {};
  }

  amqp_options options;
  keyframe_sink& sink;
  std::vector<std::string> wanting; ///< what was said to be
  std::shared_ptr<errand_desk> desk = std::make_shared<errand_desk>();
  amqp_reader reader{options, {}, [this](const std::string& what) { wanting.push_back(what); }, sink, desk};
};

errand_ptr announcement(const std::string& key) {
  auto e = std::make_shared<errand>();
  e->message.routing_key = "keyframe.new";
  const auto body
    = nlohmann::json::to_msgpack({{"type", "keyframe.new"}, {"keyframe_id", "a"}, {"timestamp_ns", 7}, {"shm_key", key}});
  const auto* bytes = reinterpret_cast<const std::byte*>(body.data());
  e->message.body.assign(bytes, bytes + body.size());
  e->message.body_bytes = body.size();
  return e;
}

/// Has no memory for what it is offered, at first.
class poor_sink final : public keyframe_sink {
public:
  void offer(map_input, completion done) override {
    if (lacks-- > 0)
      throw std::bad_alloc();
    done({});
  }
  void set_aside(const std::string&, const std::string&, const std::string&) override {}
  int lacks = 1;
};

} // namespace

TEST_CASE("a keyframe for which there is no memory when it is handed over is tried again, and ends nothing") {
  poor_sink sink;
  reading r(sink);
  auto e = std::make_shared<errand>();
  e->message.routing_key = "keyframe.new";
  e->message.content_type = "application/vnd.tessera.keyframe";
  e->message.message_id = "a";
  e->message.body = segment_bytes{}.bytes();
  e->message.body_bytes = e->message.body.size();
  const auto first = r.attempt(e);
  CHECK(first.hindered == obstacle::shortage);
  CHECK(first.said.what == outcome::not_now);
  CHECK(r.desk->offered == 0);
  CHECK(r.wanting.size() == 1);
  const auto second = r.attempt(e);
  CHECK(second.hindered == obstacle::none);
  CHECK(second.said.what == outcome::accepted);
  CHECK(r.desk->offered == 0);
}

TEST_CASE("a message in a coding is set aside by name, and one that says there is none is read") {
  for (const char* coding : {"gzip", "Identity", "utf-8", ""}) {
    INFO(coding);
    recording_sink sink;
    reading r(sink);
    auto e = std::make_shared<errand>();
    e->message.routing_key = "keyframe.new";
    e->message.content_type = "application/vnd.tessera.keyframe";
    e->message.content_encoding = coding;
    e->message.message_id = "a";
    e->message.body = segment_bytes{}.bytes();
    e->message.body_bytes = e->message.body.size();
    const auto said = r.attempt(e).said;
    CHECK((said.what == outcome::accepted) == (std::string(coding) != "gzip"));
    if (std::string(coding) == "gzip")
      CHECK_THAT(said.reason, Catch::Contains("content_encoding is 'gzip'"));
  }
}

TEST_CASE("a segment that is being written is no shortage, and has its time again with each write") {
  recording_sink sink;
  const auto prefix = shm_name::own_prefix();
  reading r(sink, prefix);
  const shm_name a(prefix, "a");
  auto bytes = segment_bytes{}.bytes();
  const auto whole = bytes;
  bytes.resize(bytes.size() / 2);
  a.write_in_place(bytes);
  const auto e = announcement(a.key());
  e->in_doubt = errand::clock::now() - std::chrono::minutes(1);
  e->last_try = true;
  const auto first = r.attempt(e);
  CHECK(first.hindered == obstacle::doubt);
  CHECK_THAT(first.said.reason, Catch::Contains("is being written"));
  CHECK_FALSE(e->in_doubt);
  CHECK_FALSE(e->last_try);
  CHECK(r.wanting.empty());
  CHECK(sink.asides().empty());
  a.write(whole);
  CHECK(r.attempt(e).said.what == outcome::accepted);
}
