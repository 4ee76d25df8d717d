#pragma once

#include "messages/keyframe_sink.hpp"

#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace tessera::bench {

/// Keeps what a source brings; says on standard error what it set aside.
class keeping_sink final : public keyframe_sink {
public:
  /// `program`: what messages begin with.
  explicit keeping_sink(std::string program) : program_(std::move(program)) {}
  void offer(map_input what, completion done) override {
    auto* frame = std::get_if<keyframe>(&what);
    if (frame == nullptr)
      return done({outcome::unknown, {}});
    frames.push_back(std::move(*frame));
    done({});
  }
  void set_aside(const std::string&, const std::string& what, const std::string& reason) override {
    std::cerr << program_ << ": " << what << ": " << reason << '\n';
  }
  std::vector<keyframe> frames;

private:
  std::string program_;
};

} // namespace tessera::bench
