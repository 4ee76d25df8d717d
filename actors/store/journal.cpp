#include "actors/store/journal.hpp"

#include "messages/archive.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <system_error>

namespace tessera {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t mib = uint64_t{1} << 20;

rocksdb::Slice slice(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

rocksdb::Slice slice(std::string_view text) {
  return {text.data(), text.size()};
}

std::span<const std::byte> bytes_of(const rocksdb::Slice& value) {
  return std::as_bytes(std::span{value.data(), value.size()});
}

[[noreturn]] void fail(const std::string& what, const rocksdb::Status& status) {
  if (status.IsMemoryLimit())
    throw std::bad_alloc{};
  if (status.IsNoSpace())
    throw std::system_error(ENOSPC, std::generic_category(), what);
  throw std::system_error(EIO, std::generic_category(), what + ": " + status.ToString());
}

/// The lock that RocksDB itself takes while a journal is open.
class folder_lock {
public:
  explicit folder_lock(const std::string& folder) {
    const auto status = rocksdb::Env::Default()->LockFile(folder + "/LOCK", &lock_);
    if (status.ok())
      return;
    if (status.ToString().find("lock") == std::string::npos || ::access(folder.c_str(), W_OK | X_OK) != 0)
      throw journal_error("the journal " + folder + " cannot be written: " + status.ToString());
    throw journal_error("the journal " + folder
                        + " is in use by another process: end that one, or name another folder (--journal)");
  }
  ~folder_lock() { rocksdb::Env::Default()->UnlockFile(lock_); }
  folder_lock(const folder_lock&) = delete;
  folder_lock& operator=(const folder_lock&) = delete;

private:
  rocksdb::FileLock* lock_ = nullptr;
};

bool holds_journal(const std::string& folder) {
  return fs::exists(folder + "/CURRENT");
}

/// Whether a file may be what a RocksDB leaves that ended while it was being made.
bool is_of_rocksdb(const std::string& name) {
  static constexpr std::array begins{"LOCK", "LOG", "IDENTITY", "MANIFEST-", "OPTIONS-", "0"};
  return std::any_of(begins.begin(), begins.end(), [&](const char* begin) { return name.starts_with(begin); });
}

void make_folder(const std::string& folder) {
  std::error_code code;
  fs::create_directories(folder, code);
  if (!code && !fs::is_directory(folder))
    code = std::make_error_code(std::errc::not_a_directory);
  if (code)
    throw journal_error("the journal " + folder + " cannot be made: " + code.message()
                        + ": name another folder (--journal), or none (--no-journal)");
  if (holds_journal(folder))
    return;
  for (const auto& one : fs::directory_iterator{folder, code})
    if (!is_of_rocksdb(one.path().filename().string()))
      throw journal_error("the folder " + folder + " holds other things (" + one.path().filename().string()
                          + ") and no journal: name an empty one, or one that is not there yet (--journal)");
}

} // namespace

struct journal::database {
  rocksdb::Options options;
  std::shared_ptr<rocksdb::Cache> cache;
  std::unique_ptr<folder_lock> lock; ///< of who only looks; who writes has RocksDB's own
  std::unique_ptr<rocksdb::DB> rocks;

  /// What RocksDB would choose otherwise. docs/journal.md has the reasons.
  database(uint64_t memory_bytes, access how) {
    auto& o = options;
    o.create_if_missing = how != access::look;
    o.wal_recovery_mode = how == access::salvage ? rocksdb::WALRecoveryMode::kPointInTimeRecovery
                                                 : rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
    o.allow_fallocate = false; // zeros at the end of the log could not be told from damage
    o.max_open_files = 128;
    o.max_background_jobs = 2; // one thread that flushes, one that compacts
    o.max_manifest_file_size = 4 * mib;
    o.stats_dump_period_sec = o.stats_persist_period_sec = 0;
    o.skip_stats_update_on_db_open = true;
    o.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
    o.max_log_file_size = mib;
    o.keep_log_file_num = 2;

    // Three of these eighths at most are being filled or written, and half is cache.
    o.write_buffer_size = std::clamp(memory_bytes / 8, mib / 4, 32 * mib);
    o.max_write_buffer_number = 3;
    o.max_total_wal_size = 3 * o.write_buffer_size;
    cache = rocksdb::NewLRUCache(memory_bytes / 2, 2);
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = cache;
    table.cache_index_and_filter_blocks = true;
    o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));

    // Rays lie in files of their own, so that the tree of keys is small and nothing rewrites them; but for what compact() does.
    o.enable_blob_files = true;
    o.min_blob_size = 1024;
    o.blob_file_size = 64 * mib;
    o.compression = o.blob_compression_type = rocksdb::kZSTD;
    o.blob_cache = cache;
  }
};

journal::journal(std::string folder, uint64_t memory_bytes, access how)
  : folder_{std::move(folder)}, memory_bytes_{memory_bytes}, how_{how} {
  if (how == access::serve)
    make_folder(folder_);
  else if (!holds_journal(folder_))
    throw journal_error("there is no journal in " + folder_);
  open();
  check_format();
}

journal::~journal() = default;

void journal::open() {
  auto fresh = std::make_unique<database>(memory_bytes_, how_);
  auto lock = std::make_unique<folder_lock>(folder_); // RocksDB's own complaint would be harder to tell from others
  rocksdb::DB* rocks = nullptr;
  rocksdb::Status status;
  if (how_ == access::look) {
    fresh->lock = std::move(lock);
    fresh->options.info_log_level = rocksdb::InfoLogLevel::HEADER_LEVEL;
    status = rocksdb::DB::OpenForReadOnly(fresh->options, folder_, &rocks);
  } else {
    lock.reset();
    status = rocksdb::DB::Open(fresh->options, folder_, &rocks);
  }
  fresh->rocks.reset(rocks);
  if (status.IsCorruption())
    throw journal_error("the journal " + folder_ + " is damaged: " + status.ToString() + ". `tessera journal salvage " + folder_
                        + "` keeps what was written before the damage; --fresh begins anew, and keeps this one aside");
  if (!status.ok())
    throw journal_error("the journal " + folder_ + " cannot be opened: " + status.ToString());
  reserve_ = 2 * fresh->options.write_buffer_size + 8 * mib;
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
    if (how_ == access::look)
      return;
    rocksdb::WriteOptions synced;
    synced.sync = true;
    if (const auto written = db_->rocks->Put(synced, slice(journal_key::format), slice(format_record(journal_format)));
        !written.ok())
      throw journal_error("the journal " + folder_ + " cannot be written: " + written.ToString());
    return;
  }
  uint32_t format = 0;
  try {
    if (!status.ok())
      throw archive_error(status.ToString());
    format = read_format_record(bytes_of(value));
  } catch (const archive_error& e) {
    throw journal_error("the journal " + folder_ + " is damaged: " + e.what()
                        + ". --fresh begins anew, and keeps this one aside");
  }
  if (format > journal_format)
    throw journal_error("the journal " + folder_ + " was written by a newer program: its format is " + std::to_string(format)
                        + ", and this program knows those up to " + std::to_string(journal_format)
                        + ". Use the newer program, or --fresh, which begins anew and keeps this one aside");
}

/// RocksDB does not recover by itself from every failed write, and Resume() leaves some behind (its issues 11643 and 12998).
void journal::reopen() {
  if (!has_room(0))
    throw std::system_error(ENOSPC, std::generic_category(), "the journal " + folder_ + " waits for room");
  const std::unique_lock alone{gate_};
  db_.reset();
  try {
    open();
  } catch (const journal_error& e) {
    throw std::system_error(EIO, std::generic_category(), e.what());
  }
  broken_ = false;
}

std::optional<map_settings> journal::map() const {
  std::string value;
  const auto status = db_->rocks->Get({}, slice(journal_key::map), &value);
  if (status.IsNotFound())
    return {};
  try {
    if (!status.ok())
      throw archive_error(status.ToString());
    return read_map_record(bytes_of(value));
  } catch (const archive_error& e) {
    throw journal_error("the journal " + folder_ + " is damaged: " + e.what()
                        + ". --fresh begins anew, and keeps this one aside");
  }
}

void journal::set_map(const map_settings& map) {
  rocksdb::WriteOptions synced;
  synced.sync = true;
  if (const auto status = db_->rocks->Put(synced, slice(journal_key::map), slice(map_record(map))); !status.ok())
    throw journal_error("the journal " + folder_ + " cannot be written: " + status.ToString());
}

std::vector<journal::kept> journal::keyframes() const {
  std::vector<kept> out;
  const auto damaged = [this](const std::string& what) {
    return journal_error("the journal " + folder_ + " is damaged: " + what + ". --fresh begins anew, and keeps this one aside");
  };
  const auto each = [&](char what, const auto& enter) {
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
      throw damaged(e.what());
    }
    if (!i->status().ok())
      throw damaged(i->status().ToString());
  };
  each(journal_key::keyframe, [&](uint64_t number, std::span<const std::byte> value) {
    out.push_back({number, read_keyframe_record(value)});
  });
  each(journal_key::pose, [&](uint64_t number, std::span<const std::byte> value) {
    const auto i = std::lower_bound(out.begin(), out.end(), number, [](const kept& k, uint64_t n) { return k.number < n; });
    if (i != out.end() && i->number == number)
      i->what.frame.world_from_camera = read_pose_record(value);
  });
  return out;
}

stored_keyframe journal::read(uint64_t number) const {
  const std::shared_lock open{gate_};
  const auto name = "keyframe " + std::to_string(number) + " of the journal " + folder_;
  if (!db_)
    throw std::system_error(EIO, std::generic_category(), name + " cannot be read: the journal could not be opened again");
  const auto get = [&](char what, rocksdb::PinnableSlice& value) {
    const auto status = db_->rocks->Get({}, db_->rocks->DefaultColumnFamily(), journal_key::of(what, number), &value);
    if (!status.ok() && !(status.IsNotFound() && what == journal_key::pose))
      fail(name + (status.IsCorruption() || status.IsNotFound() ? " is damaged" : " cannot be read"), status);
    return status.ok();
  };
  try {
    rocksdb::PinnableSlice value, moved, rays;
    get(journal_key::keyframe, value);
    auto out = read_keyframe_record(bytes_of(value));
    if (get(journal_key::pose, moved))
      out.frame.world_from_camera = read_pose_record(bytes_of(moved));
    get(journal_key::rays, rays);
    out.frame.rays.rays = std::make_shared<const std::vector<ray>>(read_rays_record(bytes_of(rays)));
    if (out.frame.rays.rays->size() != out.rays)
      throw archive_error(std::to_string(out.frame.rays.rays->size()) + " rays, not " + std::to_string(out.rays));
    return std::move(out.frame);
  } catch (const archive_error& e) {
    throw std::system_error(EIO, std::generic_category(), name + " is damaged: " + e.what());
  }
}

void journal::write(const batch& changes) {
  if (broken_)
    reopen();
  rocksdb::WriteBatch all;
  const auto erase = [&](uint64_t number) {
    for (const auto what : {journal_key::keyframe, journal_key::pose, journal_key::rays})
      all.Delete(journal_key::of(what, number));
  };
  for (const auto number : doubtful_)
    erase(number);
  for (const auto& [number, frame] : changes.puts) {
    all.Put(journal_key::of(journal_key::keyframe, number), slice(keyframe_record(*frame)));
    all.Put(journal_key::of(journal_key::rays, number), slice(rays_record(*frame->rays.rays)));
    if (frame->world_from_camera != frame->came_with)
      all.Put(journal_key::of(journal_key::pose, number), slice(pose_record(frame->world_from_camera)));
  }
  for (const auto& [number, to] : changes.moves)
    all.Put(journal_key::of(journal_key::pose, number), slice(pose_record(to)));
  for (const auto number : changes.erases)
    erase(number);
  rocksdb::WriteOptions synced;
  synced.sync = true;
  const auto status = db_->rocks->Write(synced, &all);
  if (status.ok())
    return doubtful_.clear();
  broken_ = true;
  for (const auto& [number, frame] : changes.puts)
    doubtful_.push_back(number);
  fail("the journal " + folder_ + " cannot be written", status);
}

bool journal::has_room(uint64_t bytes) const {
  std::error_code code;
  const auto space = fs::space(folder_, code);
  if (code)
    throw std::system_error(code, "the journal " + folder_ + " cannot be looked at");
  return space.available >= bytes + reserve_;
}

void journal::compact(std::atomic<bool>& stop) {
  const std::shared_lock open{gate_};
  if (!db_)
    return;
  rocksdb::CompactRangeOptions all;
  all.exclusive_manual_compaction = false;
  all.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  all.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kDisable;
  all.blob_garbage_collection_age_cutoff = 1.0;
  all.canceled = &stop;
  // What could not be done is done another time. First files go of which nothing lives, which takes no room; then what lives in
  // the others is written anew, which does.
  if (!db_->rocks->CompactRange(all, nullptr, nullptr).ok())
    return;
  uint64_t bytes = 0, erased = 0;
  db_->rocks->GetIntProperty(rocksdb::DB::Properties::kLiveBlobFileSize, &bytes);
  db_->rocks->GetIntProperty(rocksdb::DB::Properties::kLiveBlobFileGarbageSize, &erased);
  if (erased == 0 || !has_room(bytes - std::min(bytes, erased)))
    return;
  all.blob_garbage_collection_policy = rocksdb::BlobGarbageCollectionPolicy::kForce;
  (void)db_->rocks->CompactRange(all, nullptr, nullptr);
}

uint64_t journal::disk_bytes() const {
  uint64_t out = 0;
  std::error_code code;
  for (fs::directory_iterator i{folder_, code}, end; !code && i != end; i.increment(code)) {
    std::error_code gone; // while we look
    const auto bytes = i->file_size(gone);
    out += gone ? 0 : bytes;
  }
  return out;
}

uint64_t journal::memory_bytes() const {
  const std::shared_lock open{gate_};
  uint64_t out = 0;
  if (db_ && db_->rocks->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &out))
    out += db_->cache->GetUsage();
  return out;
}

std::optional<std::string> set_journal_aside(const std::string& folder) {
  if (!holds_journal(folder))
    return {};
  const folder_lock nobody_else{folder};
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> time{};
  std::strftime(time.data(), time.size(), "%Y-%m-%dT%H-%M-%SZ", &parts);
  auto plain = fs::path{folder}.lexically_normal().string();
  while (plain.size() > 1 && plain.ends_with('/'))
    plain.pop_back();
  auto name = plain + '.' + time.data();
  for (int i = 2; fs::exists(name); ++i)
    name = plain + '.' + time.data() + '.' + std::to_string(i);
  std::error_code code;
  fs::rename(plain, name, code);
  if (code)
    throw journal_error("the journal " + folder + " cannot be renamed to " + name + ": " + code.message());
  return name;
}

} // namespace tessera
