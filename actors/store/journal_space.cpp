// What a journal takes on the disk and in memory, and how what was erased is given back.

#include "actors/store/journal_database.hpp"

#include <rocksdb/metadata.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace tessera {

namespace fs = std::filesystem;

bool journal::has_room(uint64_t bytes) const {
  std::error_code code;
  const auto space = fs::space(folder_, code);
  if (code)
    throw std::system_error(code, "the journal " + folder_ + " cannot be looked at");
  const auto reserve = 2 * buffer_bytes_ + (uint64_t{8} << 20);
  return space.available >= bytes + reserve + to_compact_;
}

bool journal::compact() {
  const std::shared_lock open{gate_};
  const auto name = "the journal " + folder_ + " cannot be compacted";
  if (!db_)
    throw std::system_error(EIO, std::generic_category(), name + ": it could not be opened again");
  rocksdb::CompactRangeOptions all;
  all.exclusive_manual_compaction = false;
  all.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  all.blob_garbage_collection_age_cutoff = 1.0;
  all.canceled = &cancel_;
  const auto run = [&](rocksdb::BlobGarbageCollectionPolicy policy) {
    all.blob_garbage_collection_policy = policy;
    return db_->rocks->CompactRange(all, nullptr, nullptr);
  };
  // First files go of which nothing lives, which takes no room; then what lives in the others is written anew, which does.
  auto status = run(rocksdb::BlobGarbageCollectionPolicy::kDisable);
  uint64_t bytes = 0, erased = 0;
  if (status.ok() && db_->rocks->GetIntProperty(rocksdb::DB::Properties::kLiveBlobFileSize, &bytes)
      && db_->rocks->GetIntProperty(rocksdb::DB::Properties::kLiveBlobFileGarbageSize, &erased) && erased > 0) {
    const auto live = bytes - std::min(bytes, erased);
    if (!has_room(live))
      throw std::system_error(ENOSPC, std::generic_category(), name);
    const struct counted {
      std::atomic<uint64_t>& left;
      ~counted() { left = 0; }
    } until_done{to_compact_};
    to_compact_ = live;
    status = run(rocksdb::BlobGarbageCollectionPolicy::kForce);
  }
  if (!status.ok() && !status.IsManualCompactionPaused())
    database::fail(name, status);
  return status.ok();
}

void journal::end_compacting() {
  no_compacting_ = true;
  cancel_ = true;
}

uint64_t journal::erased_bytes(uint64_t live) const {
  const std::shared_lock open{gate_};
  if (!db_)
    return 0;
  rocksdb::ColumnFamilyMetaData has;
  db_->rocks->GetColumnFamilyMetaData(&has);
  uint64_t records = 0, bytes = 0;
  for (const auto& one : has.blob_files) {
    records += one.total_blob_count;
    bytes += one.total_blob_bytes;
  }
  return records > live ? static_cast<uint64_t>(static_cast<double>(bytes) * static_cast<double>(records - live)
                                                / static_cast<double>(records))
                        : 0;
}

uint64_t journal::blobs_of(const kept_keyframe& kept) {
  const auto& frame = kept.frame;
  return (kept.rays * disk_bytes_a_ray >= blob_bytes ? 1 : 0)
         + (!frame.reach.regions.empty()
                && place_record({frame.world_from_camera, frame.revision, frame.reach}).size() >= blob_bytes
              ? 1
              : 0);
}

uint64_t journal::disk_bytes() const noexcept {
  uint64_t out = 0;
  if (const auto folder = ::opendir(folder_.c_str())) { // a directory_iterator ends the process if it gets no memory
    struct stat file {};
    while (const auto* one = ::readdir(folder))
      if (::fstatat(::dirfd(folder), one->d_name, &file, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(file.st_mode))
        out += static_cast<uint64_t>(file.st_size);
    ::closedir(folder);
  }
  return out;
}

uint64_t journal::memory_bytes() const {
  const std::shared_lock open{gate_};
  uint64_t tables = 0, cache = 0;
  if (db_) {
    db_->rocks->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &tables);
    db_->rocks->GetIntProperty(rocksdb::DB::Properties::kBlockCacheUsage, &cache);
  }
  return tables + cache;
}

} // namespace tessera
