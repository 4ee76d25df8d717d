#include "net/server/build_info.hpp"

#include <boost/version.hpp>
#include <caf/config.hpp>
#include <draco/core/draco_version.h>
#include <nlohmann/json.hpp>
#include <rocksdb/version.h>

namespace tessera {

namespace {

std::string dotted(int major, int minor, int patch) {
  return std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(patch);
}

nlohmann::json or_null(std::string_view text) {
  return text.empty() ? nlohmann::json{} : nlohmann::json(std::string{text});
}

} // namespace

build_info this_build() {
  return {.version = TESSERA_VERSION,
          .commit = TESSERA_COMMIT,
          .compiler = TESSERA_COMPILER,
          .type = TESSERA_BUILD_TYPE,
          .sanitize = TESSERA_SANITIZERS,
          .cuda = TESSERA_CUDA_VERSION,
          .libraries = {{"CAF", dotted(CAF_VERSION / 10000, CAF_VERSION / 100 % 100, CAF_VERSION % 100)},
                        {"Draco", draco::kDracoVersion},
                        {"Boost", dotted(BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100)},
                        {"RocksDB", dotted(ROCKSDB_MAJOR, ROCKSDB_MINOR, ROCKSDB_PATCH)}}};
}

std::string version_text(const build_info& build) {
  std::string out = "tessera " + std::string{build.version};
  if (!build.commit.empty())
    out += "\ncommit " + std::string{build.commit};
  out += "\nbuild " + std::string{build.type} + ", " + std::string{build.compiler};
  if (!build.sanitize.empty())
    out += ", sanitizers " + std::string{build.sanitize};
  out += "\nCUDA " + (build.cuda.empty() ? std::string{"none"} : std::string{build.cuda});
  for (const auto& one : build.libraries)
    out += '\n' + std::string{one.name} + ' ' + one.version;
  return out;
}

nlohmann::json to_json(const build_info& build) {
  auto libraries = nlohmann::json::object();
  for (const auto& one : build.libraries)
    libraries[std::string{one.name}] = one.version;
  return {{"version", std::string{build.version}},   {"commit", or_null(build.commit)},
          {"compiler", std::string{build.compiler}}, {"build_type", std::string{build.type}},
          {"sanitizers", or_null(build.sanitize)},   {"cuda", or_null(build.cuda)},
          {"libraries", std::move(libraries)}};
}

} // namespace tessera
