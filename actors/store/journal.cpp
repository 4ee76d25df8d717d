#include "actors/store/journal_database.hpp"
#include "actors/store/log_end.hpp"
#include "messages/archive.hpp"

#include <rocksdb/db.h>
#include <rocksdb/metadata.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace tessera {

namespace fs = std::filesystem;

namespace {

rocksdb::Slice slice(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

rocksdb::Slice slice(std::string_view text) {
  return {text.data(), text.size()};
}

std::span<const std::byte> bytes_of(const rocksdb::Slice& value) {
  return std::as_bytes(std::span{value.data(), value.size()});
}

void put_there(stored_keyframe& frame, const keyframe_place& where) {
  frame.world_from_camera = where.world_from_camera;
  frame.revision = where.revision;
  frame.reach = where.reach;
}

} // namespace

journal::journal(std::string folder, uint64_t memory_bytes, access how)
  : folder_{std::move(folder)}, memory_bytes_{memory_bytes}, how_{how} {
  if (how == access::serve)
    make_journal_folder(folder_);
  const auto state = journal_state_of(folder_);
  if (state == journal_state::headless)
    damaged("CURRENT is missing");
  if (state == journal_state::none && how != access::serve)
    throw journal_error("there is no journal in " + folder_);
  if (state == journal_state::whole) {
    check_logs();
    open(true, false);
    check_format();
    check_files();
    if (how == access::look)
      return;
    db_.reset();
  }
  open(false, state == journal_state::none);
  check_format(); // others may have had it in between
  if (format_ != journal_format)
    put(journal_key::format, format_record(journal_format)); // before there is anything that an older program does not know
  format_ = journal_format;
}

journal::~journal() = default;

void journal::damaged(const std::string& what) const {
  throw journal_error("the journal " + folder_ + " is damaged: " + what + ". --fresh begins anew, and keeps this one aside");
}

void journal::log_damaged(const std::string& what) const {
  damaged(what + ". `tessera journal salvage " + folder_ + "` keeps what was written before damage in the log");
}

void journal::open(bool read_only, bool make) {
  auto fresh = std::make_unique<database>(memory_bytes_, how_, to_compact_);
  fresh->options.create_if_missing = make;
  auto lock = std::make_unique<journal_lock>(folder_); // RocksDB's own complaint would be harder to tell from others
  rocksdb::DB* rocks = nullptr;
  rocksdb::Status status;
  if (read_only) {
    fresh->lock = std::move(lock);
    status = rocksdb::DB::OpenForReadOnly(fresh->options, folder_, &rocks);
  } else {
    lock.reset();
    status = rocksdb::DB::Open(fresh->options, folder_, &rocks);
  }
  fresh->rocks.reset(rocks);
  if (status.IsCorruption() || status.IsPathNotFound())
    log_damaged(status.ToString());
  if (!status.ok())
    throw journal_error("the journal " + folder_ + " cannot be opened: " + status.ToString() + advice_on_owner(folder_));
  buffer_bytes_ = fresh->options.write_buffer_size;
  db_ = std::move(fresh);
}

void journal::check_format() {
  std::string value;
  const auto status = db_->rocks->Get({}, slice(journal_key::format), &value);
  if (status.IsNotFound()) {
    const std::unique_ptr<rocksdb::Iterator> any{db_->rocks->NewIterator({})};
    any->SeekToFirst();
    if (any->Valid())
      throw journal_error("the folder " + folder_ + " holds a RocksDB of something else: name another (--journal)");
    check(any->status());
    return;
  }
  check(status);
  try {
    format_ = read_format_record(bytes_of(value));
  } catch (const archive_error& e) {
    damaged(e.what());
  }
  if (format_ > journal_format)
    throw journal_error("the journal " + folder_ + " was written by a newer program: its format is " + std::to_string(format_)
                        + ", and this program knows those up to " + std::to_string(journal_format)
                        + ". Use the newer program, or --fresh, which begins anew and keeps this one aside");
}

/// RocksDB finds what is damaged in its logs itself, but for a length at the end of one.
void journal::check_logs() const {
  if (how_ == access::salvage)
    return;
  std::optional<std::string> log;
  try {
    log = log_with_damaged_end(folder_);
  } catch (const std::system_error& e) {
    throw journal_error("the journal " + folder_ + " cannot be opened: " + e.what() + advice_on_owner(folder_));
  }
  if (log)
    log_damaged("a record's length at the end of " + *log + " is not what was written");
}

/// RocksDB looks after the files of its tables, and not after those of blobs before they are read.
void journal::check_files() const {
  rocksdb::ColumnFamilyMetaData has;
  db_->rocks->GetColumnFamilyMetaData(&has);
  for (const auto& one : has.blob_files) {
    std::error_code code;
    if (const auto name = one.blob_file_path + one.blob_file_name; !fs::exists(name, code) && !code)
      damaged(name + " is missing");
  }
}

void journal::check(const rocksdb::Status& status) const {
  if (status.IsCorruption())
    damaged(status.ToString());
  if (!status.ok())
    throw journal_error("the journal " + folder_ + " cannot be read: " + status.ToString());
}

void journal::put(std::string_view key, const record_bytes& value) {
  rocksdb::WriteOptions synced;
  synced.sync = true;
  broken_ = true; // until it is known better
  if (const auto status = db_->rocks->Put(synced, slice(key), slice(value)); !status.ok())
    throw journal_error("the journal " + folder_ + " cannot be written: " + status.ToString());
  broken_ = false;
}

void journal::reopen() {
  const std::lock_guard alone{writing_};
  open_again();
}

void journal::open_if_closed() {
  {
    const std::shared_lock open{gate_}; // a read waits for nobody who writes
    if (db_)
      return;
  }
  const std::lock_guard alone{writing_};
  if (!db_)
    open_again();
}

/// RocksDB does not recover by itself from every failed write, and Resume() leaves some behind (its issues 11643 and 12998).
void journal::open_again() {
  cancel_ = true;
  const std::unique_lock alone{gate_};
  cancel_ = false;
  if (no_compacting_)
    cancel_ = true;
  if (!has_room(0))
    throw std::system_error(ENOSPC, std::generic_category(), "the journal " + folder_ + " waits for room");
  // What cannot be opened to write is not closed: what is in it can be read until then.
  if (::access(folder_.c_str(), W_OK | X_OK) != 0)
    throw std::system_error(errno, std::generic_category(), "the journal " + folder_ + " cannot be written");
  db_.reset();
  try {
    open(false, false);
  } catch (const journal_error& e) {
    throw std::system_error(EIO, std::generic_category(), e.what());
  }
  broken_ = false;
}

std::optional<map_settings> journal::map() const {
  const std::shared_lock open{gate_};
  if (!db_)
    throw journal_error("the journal " + folder_ + " could not be opened again");
  std::string value;
  const auto status = db_->rocks->Get({}, slice(journal_key::map), &value);
  if (status.IsNotFound())
    return {};
  check(status);
  try {
    return read_map_record(bytes_of(value));
  } catch (const archive_error& e) {
    damaged(e.what());
  }
}

void journal::set_map(const map_settings& map) {
  const std::lock_guard alone{writing_};
  if (broken_)
    open_again();
  put(journal_key::map, map_record(map));
}

template <class Enter>
void journal::each(char what, Enter enter) const {
  const std::string first(1, what), end(1, static_cast<char>(what + 1));
  const rocksdb::Slice bound{end};
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &bound;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> i{db_->rocks->NewIterator(options)};
  try {
    for (i->Seek(first); i->Valid(); i->Next())
      enter(journal_key::number({i->key().data(), i->key().size()}), bytes_of(i->value()));
  } catch (const archive_error& e) {
    damaged(e.what());
  }
  check(i->status());
}

std::vector<journal::kept_gone> journal::gone() const {
  std::vector<kept_gone> out;
  each(journal_key::gone, [&](uint64_t number, std::span<const std::byte> value) {
    out.push_back({number, read_gone_record(value)});
  });
  return out;
}

std::vector<journal::kept> journal::keyframes() const {
  std::vector<kept> out;
  each(journal_key::keyframe, [&](uint64_t number, std::span<const std::byte> value) {
    out.push_back({number, read_keyframe_record(value)});
  });
  each(journal_key::place, [&](uint64_t number, std::span<const std::byte> value) {
    const auto i = std::lower_bound(out.begin(), out.end(), number, [](const kept& k, uint64_t n) { return k.number < n; });
    if (i != out.end() && i->number == number)
      put_there(i->what.frame, read_place_record(value));
  });
  return out;
}

std::vector<quarantined_keyframe> journal::quarantined() const {
  std::vector<quarantined_keyframe> out;
  const std::string first(1, journal_key::quarantined), end(1, static_cast<char>(journal_key::quarantined + 1));
  const rocksdb::Slice bound{end};
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &bound;
  const std::unique_ptr<rocksdb::Iterator> i{db_->rocks->NewIterator(options)};
  try {
    for (i->Seek(first); i->Valid(); i->Next())
      out.push_back(read_quarantine_record(bytes_of(i->value())));
  } catch (const archive_error& e) {
    damaged(e.what());
  }
  check(i->status());
  return out;
}

stored_keyframe journal::read(uint64_t number) const {
  const std::shared_lock open{gate_};
  const auto name = "keyframe " + std::to_string(number) + " of the journal " + folder_;
  if (!db_)
    throw std::system_error(EIO, std::generic_category(), name + " cannot be read: the journal could not be opened again");
  const auto get = [&](char what, rocksdb::PinnableSlice& value) {
    const auto status = db_->rocks->Get({}, db_->rocks->DefaultColumnFamily(), journal_key::of(what, number), &value);
    if (status.IsNotFound() && what == journal_key::place)
      return false;
    if (status.IsCorruption() || status.IsNotFound())
      throw damaged_keyframe(name + " is damaged: " + status.ToString());
    if (!status.ok())
      database::fail(name + " cannot be read", status);
    return true;
  };
  try {
    rocksdb::PinnableSlice value, moved, rays;
    get(journal_key::keyframe, value);
    auto out = read_keyframe_record(bytes_of(value));
    if (get(journal_key::place, moved))
      put_there(out.frame, read_place_record(bytes_of(moved)));
    get(journal_key::rays, rays);
    out.frame.rays.rays = std::make_shared<const std::vector<ray>>(read_rays_record(bytes_of(rays)));
    if (out.frame.rays.rays->size() != out.rays)
      throw archive_error(std::to_string(out.frame.rays.rays->size()) + " rays, not " + std::to_string(out.rays));
    return std::move(out.frame);
  } catch (const archive_error& e) {
    throw damaged_keyframe(name + " is damaged: " + e.what());
  }
}

void journal::write(const batch& changes) {
  const std::lock_guard alone{writing_};
  if (broken_)
    open_again();
  doubtful_.reserve(doubtful_.size() + changes.puts.size());
  std::vector<std::pair<std::string, record_bytes>> puts;
  for (const auto& [number, frame] : changes.puts) {
    puts.emplace_back(journal_key::of(journal_key::keyframe, number), keyframe_record(*frame));
    puts.emplace_back(journal_key::of(journal_key::rays, number), pack_rays_(*frame->rays.rays));
    if (frame->world_from_camera != frame->came_with || frame->revision || frame->reach.known())
      puts.emplace_back(journal_key::of(journal_key::place, number),
                        place_record({frame->world_from_camera, frame->revision, frame->reach}));
  }
  for (const auto& [number, to] : changes.moves)
    puts.emplace_back(journal_key::of(journal_key::place, number), place_record(to));
  for (const auto& [number, id] : changes.gone)
    puts.emplace_back(journal_key::of(journal_key::gone, number), gone_record(id));
  std::vector<std::string> erases, last;
  for (const auto number : changes.gone_no_more)
    last.push_back(journal_key::of(journal_key::gone, number));
  const auto erase = [&](uint64_t number) {
    for (const auto what : {journal_key::keyframe, journal_key::place, journal_key::rays})
      erases.push_back(journal_key::of(what, number));
  };
  std::for_each(doubtful_.begin(), doubtful_.end(), erase);
  std::for_each(changes.erases.begin(), changes.erases.end(), erase);
  // Room for all at once: a batch that gets no memory to grow ends the process.
  constexpr size_t beside = 32; // of each: its key, and the lengths of both
  size_t bytes = beside * (1 + puts.size() + erases.size() + last.size());
  for (const auto& [key, value] : puts)
    bytes += value.size();
  rocksdb::WriteBatch all{bytes};
  for (const auto& key : erases)
    all.Delete(key);
  for (const auto& [key, value] : puts)
    all.Put(key, slice(value));
  for (const auto& key : last)
    all.Delete(key);
  rocksdb::WriteOptions synced;
  synced.sync = true;
  for (const auto& [number, frame] : changes.puts)
    doubtful_.push_back(number);
  broken_ = true; // until it is known better
  if (const auto status = db_->rocks->Write(synced, &all); !status.ok())
    database::fail("the journal " + folder_ + " cannot be written", status);
  broken_ = false;
  doubtful_.clear();
}

void journal::write_quarantine(const std::vector<const quarantined_keyframe*>& come, const std::vector<keyframe_id>& go) {
  const std::lock_guard alone{writing_};
  if (broken_)
    open_again();
  std::vector<std::pair<std::string, record_bytes>> puts;
  size_t bytes = 4096; // as in write(): all at once
  for (const auto* one : come) {
    puts.emplace_back(journal_key::of(one->id), quarantine_record(*one));
    bytes += 64 + puts.back().first.size() + puts.back().second.size();
  }
  rocksdb::WriteBatch all{bytes + go.size() * (64 + keyframe_id::max_bytes + keyframe_id::max_session_bytes)};
  for (const auto& id : go)
    all.Delete(journal_key::of(id));
  for (const auto& [key, value] : puts)
    all.Put(key, slice(value));
  rocksdb::WriteOptions synced;
  synced.sync = true;
  broken_ = true; // until it is known better
  if (const auto status = db_->rocks->Write(synced, &all); !status.ok())
    database::fail("the journal " + folder_ + " cannot be written", status);
  broken_ = false;
}

} // namespace tessera
