#include "net/formats/revisions.hpp"

#include "messages/json_depth.hpp"
#include "net/base/bad_input.hpp"
#include "net/base/utf8.hpp"
#include "net/formats/json_values.hpp"
#include "net/formats/msgpack.hpp"

#include <string_view>

namespace tessera {

namespace {

using nlohmann::json;

/// Maps and lists of a body inside one another: the body, its list, an entry, a pose, and a row of it.
constexpr int max_depth = 5;

/// Counts what a parser makes of a text at least, without making it: a value stands before each comma and behind each bracket.
bool has_more_values(std::string_view text, size_t bound) {
  size_t values = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = text[i];
    if (c == '"')
      quoted = !quoted;
    else if (quoted)
      i += c == '\\';
    else if (c == ',' || c == '[' || c == '{')
      if (++values > bound)
        return true;
  }
  return false;
}

/// What entries get that do not say it themselves.
struct defaults {
  std::string session;
  std::optional<uint64_t> revision;
};

[[noreturn]] void refuse_key(const std::string& prefix, const std::string& key, const char* known) {
  throw bad_input(prefix + printable(key) + " is not known; there can be " + known);
}

/// `prefix`: before the names of its fields.
correction_entry read_entry(const json& in, const std::string& prefix, const defaults& otherwise, bool strict) {
  correction_entry out;
  out.id.session = otherwise.session;
  out.number = otherwise.revision;
  bool named = false, grouped = false, has_pose = false, has_transform = false;
  for (const auto& [key, value] : in.get_ref<const json::object_t&>()) {
    const auto field = prefix + printable(key);
    if (value.is_null() || (prefix.empty() && key == "type")) {
      continue;
    } else if (key == "id") {
      out.id.value = id_text_of(value, field);
      named = true;
    } else if (key == "session") {
      out.id.session = text_of(value, field);
    } else if (key == "group") {
      out.group = text_of(value, field);
      grouped = true;
    } else if (key == "pose" || key == "transform") {
      out.to = pose_of(value, field);
      (key == "pose" ? has_pose : has_transform) = true;
    } else if (key == "revision") {
      out.number = unsigned_of(value, field);
    } else if (strict) {
      refuse_key(prefix, key, "id, session and pose, or group and transform, and revision");
    }
  }
  if (named == grouped)
    throw bad_input(prefix + (named ? "group is beside id: an entry is about one of them" : "id is missing, or group"));
  if (grouped && (out.group.empty() || has_pose || !has_transform))
    throw bad_input(prefix
                    + (out.group.empty() ? "group is empty"
                       : has_pose        ? "pose is beside group: a group has a transform"
                                         : "transform is missing"));
  if (named && (has_transform || !has_pose))
    throw bad_input(prefix + (has_transform ? "transform is beside id: a keyframe has a pose" : "pose is missing"));
  if (grouped)
    out.id = {};
  return out;
}

} // namespace

correction read_revisions(const json& whole, bool from_notification) {
  if (!whole.is_object())
    refuse_kind("body", whole, "a map");
  const auto list = whole.find("revisions");
  if (list == whole.end())
    return {{read_entry(whole, {}, {}, !from_notification)}};
  defaults otherwise;
  for (const auto& [key, value] : whole.get_ref<const json::object_t&>())
    if (value.is_null())
      continue;
    else if (key == "session")
      otherwise.session = text_of(value, key);
    else if (key == "revision")
      otherwise.revision = unsigned_of(value, key);
    else if (key != "revisions" && key != "type" && !from_notification)
      refuse_key("", key, "revisions, session and revision");
  const auto& entries = items_of(*list, "revisions");
  if (entries.empty() || entries.size() > correction::max_entries)
    throw bad_input("revisions has " + std::to_string(entries.size()) + " entries, must have 1 to "
                    + std::to_string(correction::max_entries));
  correction out;
  out.entries.reserve(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto name = entry_name("revisions", i);
    if (!entries[i].is_object())
      refuse_kind(name, entries[i], "a map");
    out.entries.push_back(read_entry(entries[i], name + ".", otherwise, true));
  }
  return out;
}

std::vector<std::string> revisions_bodies(const correction& what, size_t most_bytes) {
  // {"revisions": [...]}, with the number of entries in the list's last four bytes, most significant first.
  const std::string head("\x81\xa9revisions\xdd\0\0\0\0", 16);
  std::vector<std::string> out;
  uint32_t entries = 0;
  const auto end = [&] {
    for (size_t i = 0; i < 4; ++i)
      out.back()[head.size() - 1 - i] = static_cast<char>(entries >> 8 * i);
  };
  for (const bool groups : {false, true}) // as a service takes them
    for (const auto& one : what.entries) {
      if (one.group.empty() == groups)
        continue;
      json entry = groups ? json{{"group", one.group}, {"transform", one.to.m}}
                          : json{{"id", one.id.value}, {"session", one.id.session}, {"pose", one.to.m}};
      if (one.number)
        entry["revision"] = *one.number;
      std::string text;
      json::to_msgpack(entry, text);
      if (out.empty() || out.back().size() + text.size() > most_bytes) {
        if (!out.empty())
          end();
        out.push_back(head);
        entries = 0;
      }
      out.back() += text;
      ++entries;
    }
  if (!out.empty())
    end();
  return out;
}

correction read_revisions_body(std::span<const std::byte> body, bool is_msgpack) {
  if (is_msgpack)
    return read_revisions(read_msgpack(body));
  const std::string_view text{reinterpret_cast<const char*>(body.data()), body.size()};
  if (nests_deeper(text, max_depth))
    throw bad_input("the body is nested deeper than " + std::to_string(max_depth) + " levels");
  if (has_more_values(text, max_values))
    throw bad_input("the body has more values than one may: at most " + std::to_string(max_values) + " are read");
  const auto whole = json::parse(text, nullptr, false);
  if (whole.is_discarded())
    throw bad_input("the body is not JSON");
  return read_revisions(whole);
}

} // namespace tessera
