#pragma once

#include "messages/keyframe.hpp"

#include <memory>
#include <span>
#include <string>
#include <utility>

namespace tessera::test {

/// Points whose memory changes while they are read: another process took it away.
class torn_body : public keyframe_body {
public:
  explicit torn_body(std::shared_ptr<const keyframe_body> whole) : whole_(std::move(whole)) {}
  [[nodiscard]] std::span<const float> points() const override { return whole_->points(); }
  [[nodiscard]] std::span<const uint8_t> colours() const override { return whole_->colours(); }
  [[nodiscard]] uint32_t channels() const override { return whole_->channels(); }
  [[nodiscard]] std::span<const float> confidence() const override { return whole_->confidence(); }
  [[nodiscard]] std::string torn() const override { return "the segment shrank"; }

private:
  std::shared_ptr<const keyframe_body> whole_;
};

} // namespace tessera::test
