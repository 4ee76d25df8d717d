#!/bin/bash
# RocksDB 7.8.3 (Debian 12: librocksdb-dev) with `enable_blob_files`, where large values lie in files of their own beside the
# tables. A database whose table is missing does not open, and `DB::VerifyChecksum()` finds a changed byte of a table. Of blob
# files neither looks: with the only blob file missing, `DB::Open()` answers OK (paranoid_checks on, as it is by default) and so
# does `DB::VerifyChecksum()`, also with a changed byte in it, though no value, or not each, can be read. `VerifyFileChecksums()`
# finds both, but refuses to look unless `file_checksum_gen_factory` is set, which it is not by default. So a program that turns
# blobs on and checks its database as before checks the keys alone.
# Needs: Debian 12, apt-get, g++.
set -euo pipefail
version=7.8.3-2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
apt-get download -q "librocksdb-dev=$version" "librocksdb7.8=$version" libgflags2.2 libsnappy1v5 liblz4-1 libzstd1 libbz2-1.0 zlib1g \
  >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" root; done
cat > try.cpp <<'C'
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/version.h>

namespace fs = std::filesystem;
using files = std::function<void(const fs::path&)>;

/// Writes 8 values of 100 kB, does something to the files of one kind, and looks what tells of it.
void look(const char* name, bool blobs, bool sums, const char* kind, const files& act) {
  rocksdb::Options how;
  how.create_if_missing = true;
  how.enable_blob_files = blobs;
  how.min_blob_size = 1024;
  if (sums)
    how.file_checksum_gen_factory = rocksdb::GetFileChecksumGenCrc32cFactory();
  fs::remove_all("db");
  rocksdb::DB* db = nullptr;
  rocksdb::DB::Open(how, "db", &db);
  for (char key = 'a'; key < 'i'; ++key)
    db->Put({}, {&key, 1}, std::string(100000, key));
  db->Flush({});
  delete db;
  for (const auto& file : fs::directory_iterator("db"))
    if (file.path().extension() == kind)
      act(file.path());

  const auto told = [](const rocksdb::Status& s) { return s.ok() ? "OK" : s.IsInvalidArgument() ? "refused" : "no"; };
  const auto opened = rocksdb::DB::Open(how, "db", &db);
  std::cout << name << ": Open " << told(opened);
  if (opened.ok()) {
    std::cout << ", VerifyChecksum " << told(db->VerifyChecksum()) << ", VerifyFileChecksums " << told(db->VerifyFileChecksums({}));
    int values = 0;
    std::string value;
    for (char key = 'a'; key < 'i'; ++key)
      values += db->Get({}, {&key, 1}, &value).ok();
    std::cout << ", " << values << " of 8 values";
    delete db;
  }
  std::cout << '\n';
}

int main() {
  const files change = [](const fs::path& which) {
    std::fstream file{which, std::ios::in | std::ios::out | std::ios::binary};
    file.seekp(static_cast<std::streamoff>(fs::file_size(which) / 2));
    file.put('!');
  };
  const files remove = [](const fs::path& which) { fs::remove(which); };
  std::cout << rocksdb::GetRocksVersionAsString() << '\n';
  look("whole, blobs", true, true, ".none", change);
  look("table changed", false, true, ".sst", change);
  look("table gone", false, true, ".sst", remove);
  look("blob file changed", true, true, ".blob", change);
  look("whole, blobs, no factory", true, false, ".none", change);
  look("blob file gone", true, true, ".blob", remove);
}
C
lib=root/usr/lib/$(gcc -dumpmachine)
g++ -std=c++17 -Iroot/usr/include try.cpp -o try "$lib"/librocksdb.so.7.8 -Wl,--allow-shlib-undefined
seen=$(LD_LIBRARY_PATH=$lib:root/lib/$(gcc -dumpmachine) ./try)
echo "$seen"
expect() { grep -qxF "$1" <<<"$seen" || { echo "changed: $1" >&2; exit 1; }; }
expect "7.8.3"
expect "whole, blobs: Open OK, VerifyChecksum OK, VerifyFileChecksums OK, 8 of 8 values"
expect "table changed: Open OK, VerifyChecksum no, VerifyFileChecksums no, 7 of 8 values"
expect "table gone: Open no"
expect "blob file changed: Open OK, VerifyChecksum OK, VerifyFileChecksums no, 7 of 8 values"
expect "whole, blobs, no factory: Open OK, VerifyChecksum OK, VerifyFileChecksums refused, 8 of 8 values"
expect "blob file gone: Open OK, VerifyChecksum OK, VerifyFileChecksums no, 0 of 8 values"
