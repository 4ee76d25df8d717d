#include "net/server/text_frames.hpp"

#include "messages/json_depth.hpp"
#include "net/formats/json_text.hpp"

#include <limits>
#include <optional>

namespace tessera {

namespace {

using nlohmann::json;

// A frame, its lists, their entries.
constexpr int max_depth = 4;
// Longer values are cut in messages: an answer must not grow with what it answers.
constexpr size_t shown_bytes = 60;

struct bad_talk {
  std::string message;
};

std::string shown(const json& value) {
  auto text = to_text(value);
  if (text.size() > shown_bytes)
    text = text.substr(0, shown_bytes) + "...";
  return text;
}

[[noreturn]] void refuse(const std::string& field, const json& value, const char* expected) {
  throw bad_talk{field + " is " + shown(value) + ", expected " + expected};
}

const json* find(const json& in, const char* name) {
  auto found = in.find(name);
  return found == in.end() ? nullptr : &*found;
}

const json& at(const json& in, const char* name, const char* expected) {
  if (auto* found = find(in, name))
    return *found;
  throw bad_talk{std::string(name) + " is missing, expected " + expected};
}

std::optional<uint64_t> decimal(const std::string& text) {
  uint64_t value = 0;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failed != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

int32_t coordinate(const json& value, const std::string& field) {
  constexpr auto lo = std::numeric_limits<int32_t>::min(), hi = std::numeric_limits<int32_t>::max();
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{hi})
      || (!value.is_number_unsigned() && value.get<int64_t>() < int64_t{lo}))
    refuse(field, value, "a whole number of 32 bits");
  return value.get<int32_t>();
}

std::vector<held_patch> held_list(const json& list, const char* name) {
  if (!list.is_array())
    refuse(name, list, "a list of [x, y, z, \"version\"]");
  std::vector<held_patch> out;
  out.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const auto& entry = list[i];
    auto field = [&] { return std::string(name) + "[" + std::to_string(i) + "]"; };
    if (!entry.is_array() || entry.size() != 4)
      refuse(field(), entry, "[x, y, z, \"version\"]");
    held_patch held{{coordinate(entry[0], field()), coordinate(entry[1], field()), coordinate(entry[2], field())}, 0};
    auto version = entry[3].is_string()            ? decimal(entry[3].get_ref<const std::string&>())
                   : entry[3].is_number_unsigned() ? std::optional{entry[3].get<uint64_t>()}
                                                   : std::nullopt;
    if (!version)
      refuse(field() + ".version", entry[3], "a whole number of 64 bits, as text");
    held.version = *version;
    out.push_back(held);
  }
  return out;
}

std::array<float, 3> vector3(const json& in, const char* name) {
  const auto& list = at(in, name, "3 numbers");
  std::array<float, 3> out{};
  if (!list.is_array() || list.size() != 3)
    refuse(name, list, "3 numbers");
  for (size_t i = 0; i < 3; ++i) {
    if (!list[i].is_number())
      refuse(name, list, "3 numbers");
    // Far beyond any map (2^20 voxels of at most a few metres), and still safe to square.
    auto x = list[i].get<double>();
    if (!(std::abs(x) <= 1e9))
      refuse(name, list, "3 numbers of at most 1e9");
    out[i] = static_cast<float>(x);
  }
  return out;
}

subscribe read_subscribe(const json& in) {
  subscribe out;
  if (auto* epoch = find(in, "epoch")) {
    if (!epoch->is_string() || epoch->get_ref<const std::string&>().size() > 256)
      refuse("epoch", *epoch, "text of at most 256 bytes");
    out.epoch = epoch->get<std::string>();
  }
  if (auto* have = find(in, "have"))
    out.have = held_list(*have, "have");
  if (auto* rate = find(in, "max_bits_per_s")) {
    if (rate->is_number_unsigned())
      out.max_bits_per_s = rate->get<uint64_t>();
    else if (auto x = rate->is_number_float() ? rate->get<double>() : -1; x >= 0 && x <= 1e18)
      out.max_bits_per_s = static_cast<uint64_t>(x);
    else
      refuse("max_bits_per_s", *rate, "0 or more");
  }
  return out;
}

view read_view(const json& in) {
  return {vector3(in, "position"), vector3(in, "direction")};
}

ack read_ack(const json& in) {
  return {held_list(at(in, "patches", "a list of [x, y, z, \"version\"]"), "patches")};
}

lost read_lost(const json& in) {
  const auto& list = at(in, "regions", "a list of [x, y, z]");
  if (!list.is_array())
    refuse("regions", list, "a list of [x, y, z]");
  lost out;
  out.regions.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const auto& entry = list[i];
    const auto field = "regions[" + std::to_string(i) + "]";
    if (!entry.is_array() || entry.size() != 3)
      refuse(field, entry, "[x, y, z]");
    out.regions.push_back({coordinate(entry[0], field), coordinate(entry[1], field), coordinate(entry[2], field)});
  }
  return out;
}

} // namespace

talk parse_talk(std::string_view text) {
  if (text.size() > max_talk_bytes)
    return talk_error{
      "the frame has " + std::to_string(text.size()) + " bytes, at most " + std::to_string(max_talk_bytes) + " can be", {}, true};
  if (nests_deeper(text, max_depth))
    return talk_error{"the frame nests deeper than " + std::to_string(max_depth) + " levels", {}};
  auto in = json::parse(text, nullptr, false);
  if (in.is_discarded())
    return talk_error{"the frame is not JSON", {}};
  if (!in.is_object())
    return talk_error{"the frame is " + shown(in) + ", expected an object", {}};
  auto* type = find(in, "type");
  if (type == nullptr || !type->is_string())
    return talk_error{type ? "type is " + shown(*type) + ", expected text" : "type is missing", {}};
  const auto& name = type->get_ref<const std::string&>();
  try {
    if (name == "subscribe")
      return read_subscribe(in);
    if (name == "view")
      return read_view(in);
    if (name == "ack")
      return read_ack(in);
    if (name == "lost")
      return read_lost(in);
    return talk_error{"type is " + shown(*type) + ", expected \"subscribe\", \"view\", \"ack\" or \"lost\"",
                      name.substr(0, shown_bytes)};
  } catch (const bad_talk& bad) {
    return talk_error{bad.message, name};
  }
}

const char* name_of(stream_protocol version) {
  return version == stream_protocol::v2 ? "tessera.v2" : "tessera.v1";
}

std::string write_hello(stream_protocol version, const std::string& epoch, const map_settings& map, float quantum_m) {
  return to_text({{"type", "hello"},
                  {"protocol", name_of(version)},
                  {"server", "tessera " TESSERA_VERSION},
                  {"epoch", epoch},
                  {"voxel_m", number(map.voxel_m)},
                  {"truncation_m", number(map.truncation_m)},
                  {"region_voxels", map.region_voxels},
                  {"quantum_m", static_cast<double>(quantum_m)},
                  {"max_text_bytes", max_talk_bytes}});
}

std::string write_cameras(const std::vector<camera>& cameras) {
  auto list = json::array();
  for (const auto& c : cameras) {
    if (c.gone) {
      list.push_back({{"id", shown(c.id)}, {"gone", true}});
      continue;
    }
    auto pose = json::array();
    for (auto x : c.world_from_camera.m)
      pose.push_back(number(x));
    list.push_back({{"id", shown(c.id)}, {"timestamp_ns", wide(c.timestamp_ns)}, {"pose", std::move(pose)}});
  }
  return to_text({{"type", "cameras"}, {"cameras", std::move(list)}});
}

std::string write_stats(const session_stats& s) {
  json out{{"type", "stats"},      {"keyframes", s.keyframes}, {"keyframes_per_s", std::round(s.keyframes_per_s * 100) / 100},
           {"regions", s.regions}, {"triangles", s.triangles}, {"viewers", s.viewers},
           {"pending", s.pending}, {"set_aside", s.set_aside}, {"time_ns", wide(s.time_ns)}};
  if (!s.shortage.empty())
    out["shortage"] = s.shortage;
  return to_text(out);
}

std::string write_error(const talk_error& e) {
  json out{{"type", "error"}, {"message", e.message}};
  if (!e.reference.empty())
    out["reference"] = e.reference;
  return to_text(out);
}

} // namespace tessera
