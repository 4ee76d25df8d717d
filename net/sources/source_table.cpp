#include "net/sources/source_table.hpp"

#include "net/base/utf8.hpp"
#include "net/sources/rgbd/rgbd_sessions.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

namespace tessera {

namespace {

struct source_row {
  /// What a SOURCE of this kind begins with; something must follow the colon.
  std::array<std::string_view, 2> begins;
  /// What it looks like, for people.
  std::string_view form;
  /// Whether it goes through frames of its own (sequence_options), such as a folder's.
  bool sequence;
  std::unique_ptr<source> (*make)(const std::string& uri, const source_options& o);
};

std::string after_colon(const std::string& uri) {
  return uri.substr(uri.find(':') + 1);
}

constexpr source_row table[] = {
  {{"synthetic:"},
   "synthetic:room, synthetic:building",
   true,
   [](const std::string& uri, const source_options& o) {
     return make_synthetic_source(after_colon(uri), o.synthetic, o.sequence, o.on_shortage);
   }},
  {{"rgbd:"},
   "rgbd:DIR",
   true,
   [](const std::string& uri, const source_options& o) {
     return make_rgbd_source(after_colon(uri), o.rgbd, o.sequence, o.on_shortage);
   }},
  {{"recording:"},
   "recording:FILE",
   true,
   [](const std::string& uri, const source_options& o) {
     return make_recording_source(after_colon(uri), o.recording, o.sequence, o.on_shortage);
   }},
  {{"shm:"},
   "shm:/PREFIX",
   false,
   [](const std::string& uri, const source_options& o) {
     return make_shm_watch(after_colon(uri), o.shm, o.segments, o.on_shortage);
   }},
  {{"amqp://", "amqps://"},
   "amqp://USER:PASSWORD@HOST:PORT/VHOST (amqps:// for TLS)",
   false,
   [](const std::string& uri, const source_options& o) { return make_amqp_source(uri, o.amqp, o.segments, o.on_shortage); }},
};

/// Null if there is none.
const source_row* row_of(const std::string& uri) {
  if (!after_colon(uri).empty())
    for (const auto& row : table)
      if (std::ranges::any_of(row.begins, [&](auto begin) { return !begin.empty() && uri.starts_with(begin); }))
        return &row;
  return nullptr;
}

} // namespace

bool is_sequence(const std::string& uri) {
  const auto* row = row_of(uri);
  return row != nullptr && row->sequence;
}

std::unique_ptr<source> make_source(const std::string& uri, const source_options& options) {
  if (const auto* row = row_of(uri))
    return row->make(uri, options);
  const auto colon = uri.find(':');
  // An address with a password may have a slip in its scheme: only that is repeated.
  throw std::invalid_argument("unknown source '" + printable(uri.substr(0, colon == std::string::npos ? colon : colon + 1))
                              + "': there are " + source_forms(" and "));
}

std::vector<std::string> sessions_of(const std::vector<std::string>& uris) {
  const auto is_folder = [](const std::string& uri) { return uri.starts_with("rgbd:"); };
  std::vector<std::string> folders;
  for (const auto& uri : uris)
    if (is_folder(uri))
      folders.push_back(after_colon(uri));
  const auto named = rgbd_sessions(folders);
  std::vector<std::string> sessions;
  for (auto next = named.begin(); const auto& uri : uris)
    sessions.push_back(is_folder(uri) ? *next++ : std::string{});
  return sessions;
}

std::string source_forms(const std::string& before_last) {
  std::string text;
  for (const auto& row : table)
    text += (&row == std::begin(table) ? "" : &row == std::end(table) - 1 ? before_last : ", ") + std::string(row.form);
  return text;
}

} // namespace tessera
