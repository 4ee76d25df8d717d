#include "net/publishers/recorder.hpp"

#include "messages/clock.hpp"
#include "net/base/bad_input.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace tessera {

namespace {

size_t index_of(recording_stream what) {
  return static_cast<size_t>(what) - 1;
}

/// Why the points changed or vanished while they were copied.
std::string torn(const map_input& what) {
  const auto* frame = std::get_if<keyframe>(&what);
  return frame ? frame->body->torn() : std::string{};
}

} // namespace

recorder::recorder(const std::string& file, recorder_options options) : path_(file), options_(std::move(options)) {
  file_ = descriptor(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file_.valid())
    throw std::system_error(errno, std::generic_category(), "cannot make " + path_);
  std::string out(mcap::magic);
  mcap::record_writer(out, mcap::opcode::header).text({}).text("tessera " TESSERA_VERSION);
  write({out});
}

template <class F>
void recorder::if_open(F write_it, const completion& done) {
  verdict v;
  auto failed = false;
  {
    const std::lock_guard lock(mutex_);
    failed = !failure_.empty();
    v = failed ? verdict{outcome::not_now, failure_} : write_it();
    failed = !failed && !failure_.empty();
    counts_.refused += v.what == outcome::refused;
  }
  done(v);
  if (failed && options_.on_failure)
    options_.on_failure();
}

void recorder::offer(map_input what, completion done) {
  if_open([&] { return record(what); }, done);
}

void recorder::correct(correction what, completion done) {
  if_open([&] { return record(std::move(what)); }, done);
}

void recorder::set_aside(const std::string&, const std::string&, const std::string&) {
  const std::lock_guard lock(mutex_);
  ++counts_.set_aside;
}

recorder::counts recorder::so_far() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

verdict recorder::record(const map_input& what) {
  if (const auto why = options_.check ? options_.check(what) : std::string{}; !why.empty())
    return {outcome::refused, why};
  auto log_ns = next_log_ns();
  const auto* frame = std::get_if<keyframe>(&what);
  if (frame && frame->received_ns != 0)
    log_ns = std::max(frame->received_ns, last_ns_ + 1);
  std::string records;
  std::vector<message_place> places;
  try {
    places = put_input(records, what, static_cast<uint32_t>(chunks_.size()), log_ns);
  } catch (const bad_input& e) {
    return {outcome::refused, e.what()};
  }
  if (const auto why = torn(what); !why.empty())
    return {outcome::not_now, why};
  auto v = write_input(records, places, log_ns);
  if (v.what == outcome::accepted)
    ++(frame ? counts_.keyframes : counts_.changes);
  return v;
}

verdict recorder::record(correction what) {
  if (const auto why = options_.check_many ? options_.check_many(what) : std::string{}; !why.empty())
    return {outcome::refused, why};
  std::stable_partition(what.entries.begin(), what.entries.end(), [](const correction_entry& one) { return one.group.empty(); });
  for (const auto& one : what.entries) {
    const auto log_ns = next_log_ns();
    std::string records;
    const auto places = put_move(records, one, static_cast<uint32_t>(chunks_.size()), log_ns);
    if (auto v = write_input(records, places, log_ns); v.what != outcome::accepted)
      return v; // it is asked for again: what is written twice moves nothing twice
    ++counts_.changes;
  }
  return {outcome::accepted, {}, what.entries.size()};
}

verdict recorder::write_input(std::string& records, const std::vector<message_place>& places, uint64_t log_ns) {
  try {
    write_chunk(records, places, log_ns);
    return {};
  } catch (const std::system_error& e) {
    failure_ = e.what();
    return {outcome::not_now, failure_};
  }
}

/// Nobody says when revisions and retractions came: as long after what came before as they came after it. Each later than the one
/// before, so that tools that sort by time keep the order.
uint64_t recorder::next_log_ns() const {
  if (last_ns_ == 0)
    return system_ns();
  return last_ns_ + 1 + static_cast<uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now() - last_).count());
}

void recorder::write_chunk(const std::string& records, const std::vector<message_place>& places, uint64_t log_ns) {
  const auto packing = options_.packing;
  const auto packed = packing == mcap::packing::none ? std::string{} : mcap::pack(records, packing);
  const auto& body = packing == mcap::packing::none ? records : packed;
  std::string head;
  {
    mcap::record_writer to(head, mcap::opcode::chunk);
    to.u64(log_ns).u64(log_ns).u64(records.size()).u32(mcap::crc_of(records)).text(mcap::to_string(packing)).u64(body.size());
    to.and_bytes(body.size());
  }
  chunk_entry entry{log_ns, counts_.bytes, head.size() + body.size(), 0, body.size(), records.size(), {}};
  std::string index;
  for (const auto& one : places) {
    entry.index_offsets.emplace_back(one.stream, entry.offset + entry.length + index.size());
    constexpr uint32_t pair_bytes = 16; // a time and an offset
    mcap::record_writer(index, mcap::opcode::message_index)
      .u16(static_cast<uint16_t>(one.stream))
      .u32(pair_bytes)
      .u64(log_ns)
      .u64(one.offset);
  }
  entry.index_length = index.size();
  write({head, body, index});
  first_ns_ = first_ns_ == 0 ? log_ns : first_ns_;
  last_ns_ = log_ns;
  last_ = std::chrono::steady_clock::now();
  for (const auto& one : places)
    ++messages_[index_of(one.stream)];
  chunks_.push_back(std::move(entry));
}

void recorder::write(std::initializer_list<std::string_view> parts) {
  auto at = counts_.bytes;
  for (auto part : parts)
    while (!part.empty()) {
      const auto n = ::pwrite(file_.get(), part.data(), part.size(), static_cast<off_t>(at));
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0) {
        const auto error = n < 0 ? errno : ENOSPC;
        (void)!::ftruncate(file_.get(), static_cast<off_t>(counts_.bytes)); // if not, the file ends as one that was cut off
        throw std::system_error(error, std::generic_category(), "cannot write " + path_);
      }
      at += static_cast<uint64_t>(n);
      part.remove_prefix(static_cast<size_t>(n));
    }
  counts_.bytes = at;
}

std::string recorder::summary() const {
  std::string out, offsets;
  mcap::record_writer(out, mcap::opcode::data_end).u32(0); // chunks have checksums of their own
  const auto summary_start = counts_.bytes + out.size();
  const auto data_end_bytes = out.size();
  const auto group = [&](mcap::opcode what, const auto& fill) {
    const auto start = out.size();
    fill();
    if (out.size() > start)
      mcap::record_writer(offsets, mcap::opcode::summary_offset)
        .u8(static_cast<uint8_t>(what))
        .u64(counts_.bytes + start)
        .u64(out.size() - start);
  };
  const auto each_used = [&](const auto& use) {
    for (const auto stream : all_recording_streams)
      if (messages_[index_of(stream)] > 0)
        use(stream);
  };
  group(mcap::opcode::schema, [&] { each_used([&](auto stream) { put_schema(out, stream); }); });
  group(mcap::opcode::channel, [&] { each_used([&](auto stream) { put_channel(out, stream); }); });
  group(mcap::opcode::chunk_index, [&] {
    for (const auto& one : chunks_) {
      mcap::record_writer to(out, mcap::opcode::chunk_index);
      to.u64(one.log_ns).u64(one.log_ns).u64(one.offset).u64(one.length);
      constexpr uint32_t pair_bytes = 10;
      to.u32(static_cast<uint32_t>(pair_bytes * one.index_offsets.size()));
      for (const auto& [stream, offset] : one.index_offsets)
        to.u16(static_cast<uint16_t>(stream)).u64(offset);
      to.u64(one.index_length).text(mcap::to_string(options_.packing)).u64(one.packed_bytes).u64(one.unpacked_bytes);
    }
  });
  group(mcap::opcode::statistics, [&] {
    uint64_t all = 0;
    uint16_t used = 0;
    each_used([&](auto stream) { all += messages_[index_of(stream)], ++used; });
    mcap::record_writer to(out, mcap::opcode::statistics);
    to.u64(all).u16(used).u32(used).u32(0).u32(0).u32(static_cast<uint32_t>(chunks_.size())).u64(first_ns_).u64(last_ns_);
    constexpr uint32_t pair_bytes = 10;
    to.u32(pair_bytes * used);
    each_used([&](auto stream) { to.u16(static_cast<uint16_t>(stream)).u64(messages_[index_of(stream)]); });
  });
  const auto offset_start = counts_.bytes + out.size();
  out += offsets;
  mcap::record_writer(out, mcap::opcode::footer).u64(summary_start).u64(offset_start).u32(0);
  constexpr size_t crc_bytes = 4;
  const auto crc = mcap::crc_of(std::string_view(out).substr(data_end_bytes, out.size() - data_end_bytes - crc_bytes));
  out.replace(out.size() - crc_bytes, crc_bytes, reinterpret_cast<const char*>(&crc), crc_bytes);
  out += mcap::magic;
  return out;
}

void recorder::close() {
  const std::lock_guard lock(mutex_);
  if (!failure_.empty())
    throw std::runtime_error(failure_);
  failure_ = path_ + " is closed";
  write({summary()});
  if (::fsync(file_.get()) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot write " + path_ + " to the disk");
}

} // namespace tessera
