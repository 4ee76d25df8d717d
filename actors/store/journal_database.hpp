#pragma once
// RocksDB as a journal has it, for the journal's own files.

#include "actors/store/journal.hpp"

#include <rocksdb/db.h>
#include <rocksdb/options.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace tessera {

struct journal::database {
  rocksdb::Options options;
  std::unique_ptr<journal_lock> lock; ///< of who only looks; who writes has RocksDB's own
  std::unique_ptr<rocksdb::DB> rocks;

  /// What RocksDB would choose otherwise. docs/journal.md has the reasons. `to_compact` is counted down as a compaction goes on.
  database(uint64_t memory_bytes, access how, std::atomic<uint64_t>& to_compact);

  /// Throws what a status means that is none of success: std::bad_alloc, or std::system_error (ENOSPC, EIO).
  [[noreturn]] static void fail(const std::string& what, const rocksdb::Status& status);
};

} // namespace tessera
