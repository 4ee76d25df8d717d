#include "actors/store/journal_database.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace tessera {

namespace {

constexpr uint64_t mib = uint64_t{1} << 20;

/// Counts down what a compaction is still to write, file by file.
class compaction_watch final : public rocksdb::EventListener {
public:
  explicit compaction_watch(std::atomic<uint64_t>& left) : left_{left} {}
  void OnBlobFileCreated(const rocksdb::BlobFileCreationInfo& made) override {
    if (made.reason != rocksdb::BlobFileCreationReason::kCompaction)
      return;
    auto left = left_.load();
    while (!left_.compare_exchange_weak(left, left - std::min(left, made.total_blob_bytes)))
      ;
  }

private:
  std::atomic<uint64_t>& left_;
};

/// In place of RocksDB's own log, a file: on a full disk a line of it cannot be written, and the next one would be an assertion
/// that fails (7.8.3 as Debian builds it). What matters is in the status of what was asked.
class no_log final : public rocksdb::Logger {
public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

} // namespace

journal::database::database(uint64_t memory_bytes, access how, std::atomic<uint64_t>& to_compact) {
  auto& o = options;
  o.wal_recovery_mode = how == access::salvage ? rocksdb::WALRecoveryMode::kPointInTimeRecovery
                                               : rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  o.allow_fallocate = false; // zeros at the end of the log could not be told from damage
  o.max_open_files = 128;
  o.max_background_jobs = 2; // one thread that flushes, one that compacts
  o.max_manifest_file_size = 4 * mib;
  o.stats_dump_period_sec = o.stats_persist_period_sec = 0;
  o.skip_stats_update_on_db_open = true;
  o.info_log = std::make_shared<no_log>();

  // Three of these eighths at most are being filled or written, and half is cache.
  o.write_buffer_size = std::clamp(memory_bytes / 8, mib / 4, 32 * mib);
  o.max_write_buffer_number = 3;
  o.max_total_wal_size = 3 * o.write_buffer_size;
  const auto cache = rocksdb::NewLRUCache(memory_bytes / 2, 2);
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  table.format_version = 5; // not RocksDB's own choice, which since 9 is 6: no RocksDB before 8.6 reads that
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));

  // Rays lie in files of their own, so that the tree of keys is small and nothing rewrites them; but for what compact() does.
  o.enable_blob_files = true;
  o.min_blob_size = blob_bytes;
  o.blob_file_size = 64 * mib;
  // Rays are compressed already, but for those that older programs wrote: these must not grow when they are written anew.
  o.compression = o.blob_compression_type = rocksdb::kZSTD;
  o.blob_cache = cache;
  o.listeners.push_back(std::make_shared<compaction_watch>(to_compact));
}

void journal::database::fail(const std::string& what, const rocksdb::Status& status) {
  if (status.IsMemoryLimit())
    throw std::bad_alloc{};
  if (status.IsNoSpace())
    throw std::system_error(ENOSPC, std::generic_category(), what);
  throw std::system_error(EIO, std::generic_category(), what + ": " + status.ToString());
}

} // namespace tessera
