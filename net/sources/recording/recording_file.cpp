#include "net/sources/recording/recording_file.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/shortage.hpp"
#include "net/formats/mcap_chunk.hpp"
#include "net/formats/recorded_input.hpp"

#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace tessera {

namespace {

/// Of opcode, length, summary_start, summary_offset_start and summary_crc.
constexpr uint64_t footer_bytes = mcap::head_bytes + 20;

[[noreturn]] void fail(const std::string& path, int error) {
  throw std::system_error(error, std::generic_category(), "cannot read " + path);
}

/// Reads so many bytes, less where the file ends.
std::string read_at(int file, const std::string& path, uint64_t offset, uint64_t bytes) {
  std::string out(bytes, '\0');
  size_t came = 0;
  while (came < out.size()) {
    const auto n = ::pread(file, out.data() + came, out.size() - came, static_cast<off_t>(offset + came));
    if (n < 0 && errno != EINTR)
      fail(path, errno);
    if (n == 0)
      break;
    came += n > 0 ? static_cast<size_t>(n) : 0;
  }
  out.resize(came);
  return out;
}

bool brings_messages(mcap::opcode what) {
  return what == mcap::opcode::chunk || what == mcap::opcode::schema || what == mcap::opcode::channel
         || what == mcap::opcode::message;
}

/// Adds up what channels have.
void add(recording_census& to, std::optional<recording_stream> stream, uint64_t messages) {
  if (stream == recording_stream::keyframes)
    to.keyframes += messages;
  else if (stream == recording_stream::revisions || stream == recording_stream::retractions)
    to.changes += messages;
}

} // namespace

recording_file::recording_file(std::string path) : path_(std::move(path)) {
  file_ = descriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file_.valid())
    fail(path_, errno);
  struct stat about {};
  if (::fstat(file_.get(), &about) != 0)
    fail(path_, errno);
  if (!S_ISREG(about.st_mode))
    throw std::runtime_error(path_ + " is not a file");
  if (read_at(file_.get(), path_, 0, mcap::magic.size()) != mcap::magic)
    throw std::runtime_error(path_ + " is not a recording: it does not begin as an MCAP file of version 0 does");
  rewind();
}

void recording_file::rewind() {
  struct stat about {};
  if (::fstat(file_.get(), &about) != 0)
    fail(path_, errno);
  bytes_ = static_cast<uint64_t>(about.st_size);
  at_ = mcap::magic.size();
  cut_.clear();
}

std::optional<mcap::record_head> recording_file::head() {
  const auto left = bytes_ - at_;
  if (left < mcap::head_bytes) {
    cut_ = left == 0 ? "it has no end" : "its last " + std::to_string(left) + " bytes are no whole record";
    return std::nullopt;
  }
  const auto bytes = read_at(file_.get(), path_, at_, mcap::head_bytes);
  if (bytes.size() < mcap::head_bytes) {
    cut_ = "it became shorter while it was read";
    return std::nullopt;
  }
  const auto out = mcap::read_head(bytes);
  const auto where = "at byte " + std::to_string(at_) + " ";
  const auto lost = "; " + std::to_string(left) + " bytes are not read";
  if (static_cast<uint8_t>(out.what) == 0) {
    cut_ = where + "a record has opcode 0, which there is not" + lost;
    return std::nullopt;
  }
  if (out.length > left - mcap::head_bytes) {
    cut_ = where + "a " + to_string(out.what) + " has " + std::to_string(out.length) + " bytes, of which "
           + std::to_string(left - mcap::head_bytes) + " are there" + lost;
    return std::nullopt;
  }
  return out;
}

std::string recording_file::content(uint64_t length) {
  auto out = read_at(file_.get(), path_, at_ + mcap::head_bytes, length);
  if (out.size() < length)
    throw std::runtime_error(path_ + " became shorter while it was read");
  return out;
}

std::optional<recording_file::record> recording_file::next() {
  for (;;) {
    const auto found = head();
    if (!found || found->what == mcap::opcode::data_end || found->what == mcap::opcode::footer)
      return std::nullopt;
    record out{at_, found->what, {}, {}};
    const auto wanted = brings_messages(found->what);
    if (wanted && found->length <= mcap::most_bytes)
      out.content = content(found->length);
    else if (wanted)
      out.fault = to_string(found->what) + " has " + std::to_string(found->length) + " bytes, must have at most "
                  + std::to_string(mcap::most_bytes);
    at_ += mcap::head_bytes + found->length;
    if (wanted)
      return out;
  }
}

recording_census recording_file::census() {
  if (const auto told = census_of_summary())
    return *told;
  spdlog::info("{} has no summary, so that it is read through to count what is in it", path_);
  return counted();
}

std::optional<recording_census> recording_file::census_of_summary() {
  rewind();
  const auto tail = footer_bytes + mcap::magic.size();
  if (bytes_ < at_ + tail)
    return std::nullopt;
  const auto ending = read_at(file_.get(), path_, bytes_ - tail, tail);
  if (!ending.ends_with(mcap::magic) || ending.size() < tail)
    return std::nullopt;
  try {
    auto records = std::string_view(ending).substr(0, footer_bytes);
    const auto last = mcap::take_record(records);
    const auto start = last.what == mcap::opcode::footer ? mcap::read_footer(last.content).summary_start : 0;
    if (start < at_ || start > bytes_ - tail)
      return std::nullopt;
    at_ = start;
    recording_channels channels;
    std::optional<mcap::message_counts> counts;
    for (auto found = head(); found && found->what != mcap::opcode::footer; found = head()) {
      if (found->length <= mcap::most_bytes && found->what == mcap::opcode::schema)
        channels.take_schema(content(found->length));
      else if (found->length <= mcap::most_bytes && found->what == mcap::opcode::channel)
        channels.take_channel(content(found->length));
      else if (found->length <= mcap::most_bytes && found->what == mcap::opcode::statistics)
        counts = mcap::read_statistics(content(found->length));
      at_ += mcap::head_bytes + found->length;
    }
    if (!counts || counts->empty()) // none, or not told
      return std::nullopt;
    recording_census out;
    for (const auto& [channel, messages] : *counts)
      add(out, channels.stream_of(channel), messages);
    return out;
  } catch (const bad_input&) {
    return std::nullopt;
  }
}

recording_census recording_file::counted() {
  rewind();
  recording_census out;
  recording_channels channels;
  const auto count = [&](const mcap::record& one) {
    if (one.what == mcap::opcode::schema)
      channels.take_schema(one.content);
    else if (one.what == mcap::opcode::channel)
      channels.take_channel(one.content);
    else if (one.what == mcap::opcode::message)
      add(out, channels.stream_of(mcap::read_message(one.content).channel_id), 1);
  };
  while (const auto found = next())
    try {
      if (found->what != mcap::opcode::chunk) {
        count({found->what, found->content});
        continue;
      }
      const auto all = mcap::unpack(mcap::read_chunk(found->content));
      for (std::string_view records = all; !records.empty();)
        count(mcap::take_record(records));
    } catch (const bad_input&) {
      // told when it is read to be used
    }
  return out;
}

} // namespace tessera
