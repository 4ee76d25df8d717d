# Finds RocksDB as a shared library. Its own description in Debian asks for the headers of every library that it uses itself.
# Target: RocksDB::rocksdb.
find_path(ROCKSDB_INCLUDE_DIR rocksdb/db.h)
find_library(ROCKSDB_LIBRARY rocksdb)
if(ROCKSDB_INCLUDE_DIR)
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS "${ROCKSDB_INCLUDE_DIR}/rocksdb/version.h" line REGEX "^#define ROCKSDB_${part} [0-9]+")
    string(REGEX MATCH "[0-9]+" rocksdb_${part} "${line}")
  endforeach()
  set(ROCKSDB_VERSION "${rocksdb_MAJOR}.${rocksdb_MINOR}.${rocksdb_PATCH}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(RocksDB REQUIRED_VARS ROCKSDB_LIBRARY ROCKSDB_INCLUDE_DIR VERSION_VAR ROCKSDB_VERSION)
if(RocksDB_FOUND AND NOT TARGET RocksDB::rocksdb)
  add_library(RocksDB::rocksdb UNKNOWN IMPORTED)
  set_target_properties(RocksDB::rocksdb PROPERTIES IMPORTED_LOCATION "${ROCKSDB_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${ROCKSDB_INCLUDE_DIR}")
endif()
