#include "net/sources/recording/recording_source.hpp"

#include "messages/clock.hpp"
#include "net/base/bad_input.hpp"
#include "net/base/pace.hpp"
#include "net/formats/mcap_chunk.hpp"
#include "net/formats/recorded_input.hpp"
#include "net/sources/ordered_prefetch.hpp"
#include "net/sources/recording/recording_file.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <unordered_set>
#include <utility>

namespace tessera {

namespace {

/// Keeps the times of a recording, beginning with the first that it is asked for.
class own_pace {
public:
  /// Returns false if a stop was asked for.
  bool wait(uint64_t log_ns, const std::stop_token& stop) {
    if (!first_ns_) {
      first_ns_ = log_ns;
      start_ = std::chrono::steady_clock::now();
    }
    // A clock that was set back holds nothing up, and a year between two messages no longer than a year.
    constexpr uint64_t most_ns = 365ull * 86400 * 1'000'000'000;
    const auto since = std::min(log_ns > *first_ns_ ? log_ns - *first_ns_ : 0, most_ns);
    return sleep_unless(stop, start_ + std::chrono::nanoseconds(since));
  }

private:
  std::optional<uint64_t> first_ns_;
  std::chrono::steady_clock::time_point start_;
};

/// What became of the messages of a recording.
struct tally {
  uint64_t offered = 0, bad = 0, foreign = 0;
  std::unordered_set<uint16_t> foreign_channels;
};

class recording_source final : public source {
public:
  recording_source(const std::string& file, const recording_options& options, const sequence_options& sequence,
                   shortage_listener on_shortage)
    : file_(file), options_(options), sequence_(sequence), on_shortage_(std::move(on_shortage)) {
    if (sequence.shuffle)
      throw std::invalid_argument("shuffle: a recording is taken in its order, which its revisions and retractions need");
    if (sequence.every == 0)
      throw std::invalid_argument("every is 0, must be at least 1");
  }

  [[nodiscard]] std::string kind() const override { return "recording"; }
  [[nodiscard]] std::string where() const override { return "recording:" + file_.path(); }
  [[nodiscard]] std::optional<uint64_t> total() const override { return frame_order(census().keyframes, 1, sequence_).total(); }
  [[nodiscard]] bool brings_changes() const override { return census().changes > 0; }
  [[nodiscard]] bool ids_repeat() const override { return true; }

  void run(keyframe_sink& sink, std::stop_token stop) override {
    playing now{sink, stop, pace(sequence_.rate, sequence_.seconds), {}, {}, 0, {}, {}};
    file_.rewind();
    {
      struct unpacked {
        recording_file::record from;
        std::string records; ///< its own, or itself
      };
      ordered_prefetch<recording_file::record, unpacked> all(
        sequence_.prefetch_threads,
        [&] {
          return stop.stop_requested() ? std::nullopt
                                       : through_shortages(on_shortage_, stop, where(), [&] { return file_.next(); });
        },
        [&](const recording_file::record& from) {
          unpacked out{{from.offset, from.what, {}, from.fault}, {}};
          if (!from.fault.empty())
            return out;
          if (from.what != mcap::opcode::chunk) {
            out.records = from.content;
            return out;
          }
          try {
            out.records
              = through_shortages(on_shortage_, stop, where(), [&] { return mcap::unpack(mcap::read_chunk(from.content)); });
          } catch (const bad_input& e) {
            out.from.fault = e.what();
          }
          return out;
        });
      while (auto next = all.next())
        if (!take(now, next->from, next->records))
          break;
    }
    tell(now.counts, stop);
  }

private:
  struct playing {
    keyframe_sink& sink;
    const std::stop_token& stop;
    pace ticks;
    own_pace times;
    recording_channels channels;
    uint64_t frames = 0; ///< of which some are chosen, if not all
    std::unordered_set<keyframe_id> chosen;
    tally counts;
  };

  [[nodiscard]] const recording_census& census() const {
    if (!census_)
      census_ = recording_file(file_.path()).census();
    return *census_;
  }

  void set_aside(playing& now, uint64_t offset, const std::string& reason) const {
    ++now.counts.bad;
    now.sink.set_aside(kind(), file_.path() + " at byte " + std::to_string(offset), reason);
  }

  /// A record of the file; false: no more is wanted.
  bool take(playing& now, const recording_file::record& from, std::string_view records) const {
    if (!from.fault.empty())
      return set_aside(now, from.offset, from.fault), true;
    if (from.what != mcap::opcode::chunk)
      return take_one(now, from.offset, {from.what, records});
    while (!records.empty()) {
      mcap::record one;
      try {
        one = mcap::take_record(records);
      } catch (const bad_input& e) {
        set_aside(now, from.offset, e.what());
        break;
      }
      if (!take_one(now, from.offset, one))
        return false;
    }
    return true;
  }

  /// A record of the file, or of a chunk; `offset`: that of the file's record.
  bool take_one(playing& now, uint64_t offset, const mcap::record& one) const {
    try {
      if (one.what == mcap::opcode::schema)
        now.channels.take_schema(one.content);
      else if (one.what == mcap::opcode::channel)
        now.channels.take_channel(one.content);
      else if (one.what == mcap::opcode::message)
        return take_message(now, mcap::read_message(one.content));
    } catch (const bad_input& e) {
      set_aside(now, offset, e.what());
    }
    return true;
  }

  bool take_message(playing& now, const mcap::message& message) const {
    const auto stream = now.channels.stream_of(message.channel_id);
    if (stream == recording_stream::cameras)
      return true; // a keyframe has its own
    std::optional<map_input> what;
    if (stream == recording_stream::revisions) {
      auto moves = read_move(message.data);
      if (!moves.group.empty())
        return move_group(now, message, std::move(moves));
      what = revision{std::move(moves.id), moves.to, moves.number};
    } else if (stream == recording_stream::retractions)
      what = read_retraction(message.data);
    else if (stream == recording_stream::keyframes)
      if (auto frame = read_keyframe(message.data))
        what = std::move(*frame);
    if (!what) {
      ++now.counts.foreign;
      now.counts.foreign_channels.insert(message.channel_id);
      return true;
    }
    auto* frame = std::get_if<keyframe>(&*what);
    if (frame && !sequence_.is_all()) {
      const auto index = now.frames++;
      if (sequence_.limit > 0 && index / sequence_.every >= sequence_.limit)
        return false;
      if (index % sequence_.every != 0)
        return true;
      now.chosen.insert(frame->id);
    }
    if (!frame && !sequence_.is_all() && !now.chosen.contains(id_of(*what)))
      return true;
    if (options_.own_times ? !now.times.wait(message.log_ns, now.stop) : frame && !now.ticks.wait(now.stop))
      return false;
    if (frame && (options_.received_now || frame->received_ns == 0))
      frame->received_ns = system_ns();
    if (frame && frame->source.empty())
      frame->source = kind();
    now.sink.offer(std::move(*what), [](const verdict&) {}); // The sink counts and tells what it refuses.
    ++now.counts.offered;
    return true;
  }

  bool move_group(playing& now, const mcap::message& message, correction_entry moves) const {
    if (options_.own_times && !now.times.wait(message.log_ns, now.stop))
      return false;
    now.sink.correct({{std::move(moves)}}, [](const verdict&) {});
    ++now.counts.offered;
    return true;
  }

  void tell(const tally& counts, const std::stop_token& stop) const {
    if (counts.foreign > 0)
      spdlog::info("source {}: {} messages of {} channels that are none of a recording's are passed over", where(),
                   counts.foreign, counts.foreign_channels.size());
    if (counts.bad > 0)
      spdlog::warn("source {}: {} records are set aside; keyframes, revisions and retractions offered: {}", where(), counts.bad,
                   counts.offered);
    if (!file_.cut().empty() && !stop.stop_requested())
      spdlog::warn("source {}: it was cut off, or is still being written: {}", where(), file_.cut());
  }

  recording_file file_;
  recording_options options_;
  sequence_options sequence_;
  shortage_listener on_shortage_;
  mutable std::optional<recording_census> census_;
};

} // namespace

std::unique_ptr<source> make_recording_source(const std::string& file, const recording_options& options,
                                              const sequence_options& sequence, shortage_listener on_shortage) {
  return std::make_unique<recording_source>(file, options, sequence, std::move(on_shortage));
}

} // namespace tessera
